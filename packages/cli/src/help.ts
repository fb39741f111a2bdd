/** Help from the command table: one screen for all, one per group and per command. */
import { COMMON_OPTIONS } from './command-line.ts'
import { findCommand, isGroup, loadCommand, summaries } from './command-table.ts'
import type { OptionSpec } from './command.ts'
import { forTerminal } from './wrap-text.ts'

export async function printHelp(
  words: readonly string[],
  stream: NodeJS.WriteStream,
): Promise<number> {
  stream.write(forTerminal(await helpText(words), stream))
  return 0
}

/** @param words - none for the overview, `all`, a group such as `vm`, or a command. @throws CloisterError `cli.unknown-command` */
export async function helpText(words: readonly string[]): Promise<string> {
  const first = words.find((word) => !word.startsWith('-'))
  if (first === undefined) return overview()
  if (first === 'all') return listing(summaries())
  if (words.length === 1 && isGroup(first))
    return listing(summaries().filter(({ name }) => name.startsWith(`${first} `)))
  return await commandHelp(words)
}

const INTRODUCTION =
  'Cloister runs VMs and containers that the owner of the host can neither read nor change.'

/** Groups whose commands the overview explains; of the others it has the words. */
const FIRST_GROUPS = new Set(['Start', 'Workloads'])

function overview(): string {
  const entries = summaries()
  const groups = [...new Set(entries.map(({ group }) => group))]
  const lines = entries
    .filter(({ group }) => FIRST_GROUPS.has(group))
    .map(({ name, summary }) => `  ${name.padEnd(12)} ${summary}`)
  const others = groups
    .filter((group) => !FIRST_GROUPS.has(group))
    .map((group) => {
      const members = entries.filter((entry) => entry.group === group)
      const words = [...new Set(members.map(({ name }) => name.split(' ')[0] ?? ''))]
      return `  ${group.padEnd(12)} ${words.join(', ')}`
    })
  const footer = [
    'cloister help WORD      options of a command, or the commands that begin with it',
    'cloister help all       every command',
  ]
  return `${[INTRODUCTION, '', ...lines, '', ...others, '', ...footer].join('\n')}\n`
}

function listing(entries: ReturnType<typeof summaries>): string {
  const width = Math.max(...entries.map(({ name }) => name.length))
  const groups = new Set(entries.map(({ group }) => group))
  const lines: string[] = []
  let group = ''
  for (const entry of entries) {
    if (groups.size > 1 && entry.group !== group) lines.push(entry.group)
    group = entry.group
    lines.push(`  ${entry.name.padEnd(width)}  ${entry.summary}`)
  }
  return `${[...lines, '', 'cloister help COMMAND  its options; all take -o table|json|yaml|name'].join('\n')}\n`
}

async function commandHelp(words: readonly string[]): Promise<string> {
  const found = findCommand(words.join(' ').split(' '))
  const command = await loadCommand(found)
  const summary = summaries().find((entry) => entry.name === found.name)?.summary ?? ''
  const lines = [`cloister ${command.usage}`, '', `  ${summary}`]
  if (command.details !== undefined)
    lines.push('', ...command.details.split('\n').map((text) => `  ${text}`.trimEnd()))
  lines.push(
    '',
    'Options',
    ...optionLines(command.options ?? {}),
    '',
    'Options of every command',
    ...optionLines(COMMON_OPTIONS),
  )
  return `${lines.join('\n')}\n`
}

/** Column where what an option does begins; a longer option has a line of its own. */
const HELP_COLUMN = 32

function optionLines(options: Readonly<Record<string, OptionSpec>>): string[] {
  const lines = Object.entries(options).map(([name, spec]) => {
    const short = spec.short === undefined ? '    ' : `-${spec.short}, `
    const value = spec.type === 'string' ? ` ${spec.value ?? 'VALUE'}` : ''
    const head = `  ${short}--${name}${value}`
    const gap =
      head.length + 2 > HELP_COLUMN
        ? `\n${' '.repeat(HELP_COLUMN)}`
        : ' '.repeat(HELP_COLUMN - head.length)
    return `${head}${gap}${spec.help}${spec.multiple === true ? ' (may be repeated)' : ''}`
  })
  return lines.length === 0 ? ['  none'] : lines
}
