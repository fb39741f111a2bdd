import type { Command } from '../command.ts'
import { openBroker } from '../owner/broker-client.ts'

export const command: Command = {
  usage: 'revocation-list ls',
  positionals: [0, 0],
  async run({ directories, output, signal }) {
    const { revocationLists } = await openBroker(directories, signal).status()
    await output.list(revocationLists, {
      name: ({ issuer }) => issuer,
      columns: [
        { title: 'ISSUER', cell: ({ issuer }) => issuer },
        {
          title: 'FROM',
          cell: ({ thisUpdate }) => new Date(thisUpdate).toISOString().slice(0, 19),
        },
        {
          title: 'UNTIL',
          cell: ({ nextUpdate }) => new Date(nextUpdate).toISOString().slice(0, 19),
        },
      ],
    })
  },
}
