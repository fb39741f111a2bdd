import { writeFile } from 'node:fs/promises'
import { format } from '@cloister/rego/format'
import type { Command } from '../command.ts'
import { printText } from '../print-text.ts'
import { loadModules, regoMistake } from '../rego/load-modules.ts'

export const command: Command = {
  usage: 'policy fmt FILE… [--write | --check] [--v0]',
  details:
    'Prints the formatted modules. --write changes the files; --check names those that are not formatted and exits 2.',
  options: {
    write: { type: 'boolean', short: 'w', help: 'change the files' },
    check: { type: 'boolean', help: 'change nothing, exit 2 when something would change' },
    v0: { type: 'boolean', help: 'modules are Rego v0' },
  },
  positionals: [1, 1000],
  async run({ positionals, options, output }) {
    const version = options['v0'] === true ? 'v0' : 'v1'
    const changed: string[] = []
    for (const { file, source } of await loadModules(positionals)) {
      const formatted = formatModule(file, source, version)
      if (formatted !== source) changed.push(file)
      if (options['write'] === true) {
        if (formatted !== source) await writeFile(file, formatted)
      } else if (options['check'] !== true) printText(formatted)
    }
    if (options['check'] !== true) return 0
    for (const file of changed) output.talk(`not formatted: ${file}`)
    return changed.length > 0 ? 2 : 0
  },
}

function formatModule(file: string, source: string, version: 'v0' | 'v1'): string {
  try {
    return format(file, source, version)
  } catch (error) {
    throw regoMistake(error)
  }
}
