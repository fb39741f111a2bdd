import type { Command } from '../command.ts'
import { openBroker } from '../owner/broker-client.ts'

export const command: Command = {
  usage: 'platform rm ID',
  details: 'Policies that ask for an enrolled platform give it nothing from then on.',
  positionals: [1, 1],
  async run({ positionals, directories, output, signal }) {
    const id = (positionals[0] ?? '').toLowerCase()
    await openBroker(directories, signal).removePlatform(id)
    await output.object({ chipId: id }, { name: id, text: () => `removed ${id}` })
  },
}
