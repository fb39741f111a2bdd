import type { Command } from '../command.ts'
import { openBroker } from '../owner/broker-client.ts'

export const command: Command = {
  usage: 'broker guest-images ls',
  details:
    'Guest images and boot bundles of VMs that you registered as Reference Values; `guest-image ls` lists those that lie on this machine.',
  positionals: [0, 0],
  async run({ directories, output, signal }) {
    await output.list(await openBroker(directories, signal).guestImages(), {
      name: ({ name, imageVersion }) => `${name} ${imageVersion}`,
      columns: [
        { title: 'NAME', cell: ({ name }) => name },
        { title: 'VERSION', cell: ({ imageVersion }) => String(imageVersion) },
        { title: 'STATE', cell: ({ state }) => state },
        { title: 'MODE', cell: ({ mode }) => mode },
        { title: 'ANCHORS', cell: ({ anchors }) => anchors },
        { title: 'DIGESTS', cell: ({ digests }) => String(digests), spare: true },
        {
          title: 'REGISTERED',
          cell: ({ registeredAt }) => new Date(registeredAt).toISOString().slice(0, 19),
          spare: true,
        },
      ],
    })
  },
}
