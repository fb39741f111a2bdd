import { HostdClient, hostdSocket } from '@cloister/hostd/client'
import type { Command } from '../command.ts'

export const command: Command = {
  usage: 'hostd status',
  positionals: [0, 0],
  async run({ directories, output, signal }) {
    const info = await new HostdClient(hostdSocket(directories)).info({ signal })
    await output.object(info, {
      name: 'hostd',
      text: () =>
        `hostd ${info.version}  pid ${info.pid}  since ${info.startedAt}  ${info.workloads.live} running, ${info.workloads.ended} ended`,
    })
  },
}
