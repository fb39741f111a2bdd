/** Help from the command table: one screen for all, one per command. */
import { COMMON_OPTIONS } from './command-line.ts'
import { findCommand, loadCommand, summaries } from './command-table.ts'
import type { OptionSpec } from './command.ts'

export async function printHelp(
  words: readonly string[],
  stream: { write(text: string): unknown },
): Promise<number> {
  stream.write(words.length === 0 ? overview() : await commandHelp(words))
  return 0
}

function overview(): string {
  const lines = [
    'Cloister runs VMs and containers that the owner of the host can neither read nor change.',
    '',
  ]
  let group = ''
  for (const entry of summaries()) {
    if (entry.group !== group) lines.push(entry.group)
    group = entry.group
    lines.push(`  ${entry.name.padEnd(21)} ${entry.summary}`)
  }
  return `${[...lines, '', 'cloister help COMMAND shows its options; all take -o table|json|yaml|name.'].join('\n')}\n`
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

function optionLines(options: Readonly<Record<string, OptionSpec>>): string[] {
  const lines = Object.entries(options).map(([name, spec]) => {
    const short = spec.short === undefined ? '    ' : `-${spec.short}, `
    const value = spec.type === 'string' ? ` ${spec.value ?? 'VALUE'}` : ''
    return `  ${`${short}--${name}${value}`.padEnd(28)} ${spec.help}${spec.multiple === true ? ' (may be repeated)' : ''}`
  })
  return lines.length === 0 ? ['  none'] : lines
}
