import { stopBroker } from '../owner/local-broker.ts'
import type { Command } from '../command.ts'

export const command: Command = {
  usage: 'broker stop',
  positionals: [0, 0],
  async run({ directories, output, signal }) {
    const stopped = await stopBroker(directories, signal)
    await output.object(
      { stopped },
      { name: 'broker', text: () => (stopped ? 'broker stopped' : 'no broker runs here') },
    )
  },
}
