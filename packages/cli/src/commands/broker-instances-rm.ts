import type { Command } from '../command.ts'
import { openBroker } from '../owner/broker-client.ts'

export const command: Command = {
  usage: 'broker instances rm KEY',
  details:
    'For good: that key gets no token and no secret from then on, whether it lives now or not, and another instance may take its place. What the guest has already it keeps.',
  positionals: [1, 1],
  async run({ positionals, directories, output, signal }) {
    const key = (positionals[0] ?? '').toLowerCase()
    const lived = await openBroker(directories, signal).endInstance(key)
    const text = lived
      ? `ended ${key}`
      : `no live instance has ${key}; should one come, it gets nothing`
    await output.object({ key, lived }, { name: key, text: () => text })
  },
}
