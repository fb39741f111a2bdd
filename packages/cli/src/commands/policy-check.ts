import { compile } from '@cloister/rego'
import { check } from '@cloister/rego/check'
import type { Command } from '../command.ts'
import { loadModules, regoMistake } from '../rego/load-modules.ts'

export const command: Command = {
  usage: 'policy check FILE… [--v0] [--strict]',
  details:
    'Parses and compiles, then points at unused and shadowed names and at dangerous openings. Exit 2 for a mistake or an opening; with --strict for any finding.',
  options: {
    v0: { type: 'boolean', help: 'modules are Rego v0' },
    strict: { type: 'boolean', help: 'every finding counts' },
  },
  positionals: [1, 1000],
  async run({ positionals, options, output }) {
    const modules = await loadModules(positionals)
    let findings
    try {
      findings = check(compile({ modules, version: options['v0'] === true ? 'v0' : 'v1' }).modules)
    } catch (error) {
      throw regoMistake(error)
    }
    await output.list(findings, {
      name: (finding) => `${finding.file}:${finding.row}`,
      columns: [
        { title: 'PLACE', cell: (finding) => `${finding.file}:${finding.row}:${finding.column}` },
        {
          title: 'FINDING',
          cell: (finding) => (finding.dangerous ? output.painter.red(finding.code) : finding.code),
        },
        { title: 'NAME', cell: (finding) => finding.name },
      ],
    })
    const counted = findings.filter(({ dangerous }) => dangerous || options['strict'] === true)
    if (findings.length === 0) output.talk(`${modules.length} module(s), nothing found`)
    return counted.length > 0 ? 2 : 0
  },
}
