import { HostdClient, hostdSocket } from '@cloister/hostd/client'
import { CloisterError } from '@cloister/protocol/error'
import type { Command } from '../command.ts'

export const command: Command = {
  usage: 'hostd stop',
  details: 'Running guests go on and are found again by the next hostd.',
  positionals: [0, 0],
  async run({ directories, output, signal }) {
    const client = new HostdClient(hostdSocket(directories))
    const wasRunning = await client.shutdown({ signal }).then(
      () => true,
      (error: unknown) => {
        if (error instanceof CloisterError && error.code === 'hostd.unreachable') return false
        throw error
      },
    )
    await output.object(
      { stopped: wasRunning },
      { name: 'hostd', text: () => (wasRunning ? 'hostd stopped' : 'hostd did not run') },
    )
  },
}
