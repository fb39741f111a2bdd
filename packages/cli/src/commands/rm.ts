import type { Command } from '../command.ts'
import { openHostd } from '../hostd.ts'
import { unless } from '../workload/abandon-run.ts'

export const command: Command = {
  usage: 'rm NAME… [--force]',
  options: { force: { type: 'boolean', help: 'stop it first when it runs' } },
  positionals: [1, 100],
  async run(invocation) {
    const hostd = await openHostd(invocation)
    const { signal } = invocation
    for (const name of invocation.positionals) {
      if (invocation.options['force'] === true)
        await hostd.stop(name, { force: true }, { signal }).catch(unless('workload.not-running'))
      await hostd.remove(name, { signal })
    }
    await invocation.output.list(
      invocation.positionals.map((name) => ({ name })),
      { name: (row) => row.name, columns: [{ title: 'REMOVED', cell: (row) => row.name }] },
    )
  },
}
