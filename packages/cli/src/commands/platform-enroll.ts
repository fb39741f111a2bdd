import type { Command } from '../command.ts'
import { openBroker } from '../owner/broker-client.ts'

export const command: Command = {
  usage: 'platform enroll ID',
  details:
    'ID is an AMD chip id (128 hex digits), or the PPID or platform instance id of an Intel platform (32). Release policies with "platforms": "enrolled" ask for it, and evidence of a Milan chip is degraded without it.',
  positionals: [1, 1],
  async run({ positionals, directories, output, signal }) {
    const id = (positionals[0] ?? '').toLowerCase()
    await openBroker(directories, signal).enrollPlatform(id)
    await output.object({ chipId: id }, { name: id, text: () => `enrolled ${id}` })
  },
}
