import { compile } from '@cloister/rego'
import { runTests } from '@cloister/rego/test-runner'
import { listOption, type Command } from '../command.ts'
import { loadModules, regoMistake } from '../rego/load-modules.ts'
import { fromYaml } from '../rego/read-data.ts'
import { readInput } from '../read-input.ts'

export const command: Command = {
  usage: 'policy test FILE… [--data DATA] [--v0]',
  details: 'Runs the rules named test_…; todo_test_… are skipped. Exit 2 when one fails.',
  options: {
    data: { type: 'string', multiple: true, value: 'FILE', help: 'base document as JSON or YAML' },
    v0: { type: 'boolean', help: 'modules are Rego v0' },
  },
  positionals: [1, 1000],
  async run(invocation) {
    const { positionals, options, output } = invocation
    const modules = await loadModules(positionals)
    const parts = await Promise.all(
      listOption(invocation, 'data').map(async (file) =>
        fromYaml((await readInput(file, 64 << 20)).toString('utf8'), file),
      ),
    )
    let results
    try {
      results = runTests(compile({ modules, version: options['v0'] === true ? 'v0' : 'v1' }), {
        data: Object.assign({}, ...parts) as object,
      })
    } catch (error) {
      throw regoMistake(error)
    }
    await output.list(results, {
      name: (result) => result.name,
      columns: [
        {
          title: 'OUTCOME',
          cell: ({ outcome }) =>
            outcome === 'pass' || outcome === 'skip'
              ? outcome
              : output.painter.red(outcome.toUpperCase()),
        },
        { title: 'TEST', cell: (result) => result.name },
        { title: 'PLACE', cell: (result) => `${result.file}:${result.row}` },
        { title: 'MS', cell: (result) => result.durationMs.toFixed(1) },
      ],
    })
    const failed = results.filter(({ outcome }) => outcome === 'fail' || outcome === 'error')
    output.talk(`${results.length - failed.length} passed or skipped, ${failed.length} failed`)
    return failed.length > 0 ? 2 : 0
  },
}
