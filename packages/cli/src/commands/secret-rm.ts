import type { Command } from '../command.ts'
import { openBroker } from '../owner/broker-client.ts'
import { resourcePath } from '../owner/resource-path.ts'

export const command: Command = {
  usage: 'secret rm NAME',
  positionals: [1, 1],
  async run({ positionals: [name = ''], directories, output, signal }) {
    const path = resourcePath(name)
    await openBroker(directories, signal).removeSecret(path)
    await output.object({ removed: path }, { name: path, text: () => `${path} removed` })
  },
}
