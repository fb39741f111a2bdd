import type { Command } from '../command.ts'
import { openBroker } from '../owner/broker-client.ts'

export const command: Command = {
  usage: 'broker workloads ls',
  details:
    'Every revision of a workload or measured VM that you registered, by its initdata. Only the current one of each gets anything.',
  positionals: [0, 0],
  async run({ directories, output, signal }) {
    await output.list(await openBroker(directories, signal).workloads(), {
      name: ({ name, revision }) => `${name} ${revision}`,
      columns: [
        { title: 'NAME', cell: ({ name }) => name },
        { title: 'REVISION', cell: ({ revision }) => String(revision) },
        { title: 'STATE', cell: ({ state }) => state },
        {
          title: 'REGISTERED',
          cell: ({ registeredAt }) => new Date(registeredAt).toISOString().slice(0, 19),
          spare: true,
        },
        { title: 'INITDATA', cell: (row) => row.initdataDigest.slice(0, 16), spare: true },
      ],
    })
  },
}
