import type { Command } from '../command.ts'
import { openBroker } from '../owner/broker-client.ts'

export const command: Command = {
  usage: 'broker status',
  positionals: [0, 0],
  async run({ directories, output, signal }) {
    const status = await openBroker(directories, signal).status()
    await output.object(status, {
      name: status.url,
      text: () =>
        [
          `broker ${status.version}  ${status.url}`,
          `  TLS key     ${status.spki.join(' ')}`,
          `  holds       ${status.counts.secrets} secrets, ${status.counts.workloads} workload revisions, ${status.counts.guestImages} guest images`,
          `  simulation  ${status.simulatedRoots.length === 0 ? 'no simulated root is trusted' : `${status.simulatedRoots.length} simulated root(s) pinned`}`,
          `  audit       ${status.counts.auditEntries} entries`,
        ].join('\n'),
    })
  },
}
