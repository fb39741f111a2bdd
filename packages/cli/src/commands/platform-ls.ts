import type { Command } from '../command.ts'
import { openBroker } from '../owner/broker-client.ts'

export const command: Command = {
  usage: 'platform ls',
  positionals: [0, 0],
  async run({ directories, output, signal }) {
    await output.list(await openBroker(directories, signal).platforms(), {
      name: ({ chipId }) => chipId,
      columns: [
        { title: 'ID', cell: ({ chipId }) => chipId },
        {
          title: 'ENROLLED',
          cell: ({ enrolledAt }) => new Date(enrolledAt).toISOString().slice(0, 19),
        },
      ],
    })
  },
}
