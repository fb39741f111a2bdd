import type { Command } from '../command.ts'
import { openBroker } from '../owner/broker-client.ts'

export const command: Command = {
  usage: 'broker instances rm KEY',
  details:
    'For good: that key gets no token and no secret from then on, and another instance may take its place. What the guest has already it keeps.',
  positionals: [1, 1],
  async run({ positionals, directories, output, signal }) {
    const key = (positionals[0] ?? '').toLowerCase()
    await openBroker(directories, signal).endInstance(key)
    await output.object({ key }, { name: key, text: () => `ended ${key}` })
  },
}
