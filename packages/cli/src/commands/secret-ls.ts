import type { Command } from '../command.ts'
import { openBroker } from '../owner/broker-client.ts'

export const command: Command = {
  usage: 'secret ls',
  positionals: [0, 0],
  async run({ directories, output, signal }) {
    const secrets = await openBroker(directories, signal).secrets()
    await output.list(secrets, {
      name: (secret) => secret.path,
      columns: [
        { title: 'SECRET', cell: (secret) => secret.path },
        { title: 'VERSION', cell: (secret) => String(secret.version) },
        {
          title: 'GOES TO',
          cell: (secret) =>
            secret.release?.workloads.map(({ name }) => name).join(', ') ?? 'nobody',
        },
        { title: 'SIMULATED', cell: (secret) => (secret.allowSimulated ? 'allowed' : 'no') },
      ],
    })
  },
}
