import type { Command } from '../command.ts'
import { openBroker } from '../owner/broker-client.ts'

export const command: Command = {
  usage: 'broker instances ls',
  details:
    'Those of workloads and VMs made with --instances. A guest that starts again has another key; the one before it counts until its token ends.',
  positionals: [0, 0],
  async run({ directories, output, signal }) {
    await output.list(await openBroker(directories, signal).instances(), {
      name: ({ key }) => key,
      columns: [
        { title: 'WORKLOAD', cell: ({ workload }) => workload },
        { title: 'REVISION', cell: ({ revision }) => String(revision) },
        { title: 'LIMIT', cell: ({ limit }) => String(limit) },
        { title: 'KEY', cell: ({ key }) => key },
        { title: 'SINCE', cell: ({ since }) => new Date(since).toISOString().slice(0, 19) },
        { title: 'UNTIL', cell: ({ expiresAt }) => new Date(expiresAt).toISOString().slice(0, 19) },
      ],
    })
  },
}
