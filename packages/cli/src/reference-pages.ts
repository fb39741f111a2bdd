/** The reference pages that are made from tables in the code: error codes and commands. */
import { ERROR_CODES } from '@cloister/protocol/errors/catalogue'
import { COMMON_OPTIONS } from './command-line.ts'
import { findCommand, loadCommand, summaries } from './command-table.ts'
import type { OptionSpec } from './command.ts'

const NOTE = '<!-- Made from the code by `npm run reference -w packages/cli`; a test compares. -->'

export function errorsPage(): string {
  const sections = Object.entries(ERROR_CODES)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([code, entry]) =>
      [
        `## \`${code}\``,
        '',
        `${entry.title}. Usual cause: ${entry.why}.`,
        '',
        ...entry.fix.map((fix) => `- ${fix}`),
        '',
        `Exit code ${entry.exit}, HTTP ${entry.status}${entry.retryable === true ? ', may succeed when tried again' : ''}.`,
        '',
      ].join('\n'),
    )
  return `# Error codes\n\n${NOTE}\n\nCodes are stable. \`cloister explain CODE\` prints an entry. Exit codes: 0 success, 1 other, 2 trust refused, 3 trust undecided, 4 not ready or\ntimed out, 5 a precondition is missing, 6 usage, 7 not permitted.\nA command that Ctrl-C or SIGTERM broke off ends by that signal, which a shell shows as 130 or 143.\n\n${sections.join('\n')}`
}

export async function commandsPage(): Promise<string> {
  const lines = ['# Commands', '', NOTE, '']
  let group = ''
  for (const entry of summaries()) {
    if (entry.group !== group) lines.push(`## ${entry.group}`, '')
    group = entry.group
    const command = await loadCommand(findCommand(entry.name.split(' ')))
    lines.push(`### cloister ${command.usage}`, '', `${entry.summary}.`, '')
    if (command.details !== undefined) lines.push(...command.details.split('\n'), '')
    lines.push(...optionRows(command.options ?? {}))
  }
  return [...lines, '## Options of every command', '', ...optionRows(COMMON_OPTIONS)].join('\n')
}

function optionRows(options: Readonly<Record<string, OptionSpec>>): string[] {
  const rows = Object.entries(options).map(([name, spec]) => {
    const short = spec.short === undefined ? '' : `-${spec.short}, `
    const value = spec.type === 'string' ? ` ${spec.value ?? 'VALUE'}` : ''
    return `- \`${short}--${name}${value}\`: ${spec.help}${spec.multiple === true ? '; may be repeated' : ''}`
  })
  return rows.length === 0 ? [] : [...rows, '']
}
