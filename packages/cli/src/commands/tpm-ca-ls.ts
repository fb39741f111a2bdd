import type { Command } from '../command.ts'
import { openBroker } from '../owner/broker-client.ts'

export const command: Command = {
  usage: 'tpm-ca ls',
  positionals: [0, 0],
  async run({ directories, output, signal }) {
    await output.list(await openBroker(directories, signal).tpmAnchors(), {
      name: ({ fingerprint }) => fingerprint,
      columns: [
        { title: 'CA', cell: ({ subject }) => subject },
        { title: 'SHA-256', cell: ({ fingerprint }) => fingerprint },
        { title: 'PINNED', cell: ({ pinnedAt }) => new Date(pinnedAt).toISOString().slice(0, 19) },
      ],
    })
  },
}
