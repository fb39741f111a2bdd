import type { BrokerStatus } from '@cloister/protocol/broker-admin-api'
import type { Command } from '../command.ts'
import { escapeText } from '../escape-text.ts'
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
          `  holds       secrets: ${status.counts.secrets}, workload revisions: ${status.counts.workloads}, guest images: ${status.counts.guestImages}`,
          `  simulation  ${status.simulatedRoots.length === 0 ? 'no simulated root is trusted' : `simulated roots pinned: ${status.simulatedRoots.length}`}`,
          `  AMD lists   ${listsText(status)}`,
          `  Intel       ${collateralText(status)}`,
          `  audit       ${status.counts.auditEntries} entries`,
        ].join('\n'),
    })
  },
}

/** Lists that are in date, when the first of them ends, and what went wrong with fetching. */
function listsText({ revocationLists, fetchesEndorsements: fetching }: BrokerStatus): string {
  const current = revocationLists.filter(({ nextUpdate }) => nextUpdate > Date.now())
  const first = Math.min(...current.map(({ nextUpdate }) => nextUpdate))
  const held =
    current.length === 0
      ? 'none in date: evidence must bring its own'
      : `${current.length} in date, the first until ${new Date(first).toISOString()}`
  if (fetching === null) return `${held}; brought by you`
  if (fetching.roundAt === null) return `${held}; being fetched`
  const problems = fetching.problems.map((problem) => escapeText(problem)).join(', ')
  return `${held}; fetched from AMD${problems === '' ? '' : `, but ${problems}`}`
}

function collateralText({ intelCollateral }: BrokerStatus): string {
  if (intelCollateral.length === 0)
    return 'no collateral: TDX quotes prove nothing yet (cloister intel-collateral add)'
  return intelCollateral
    .map(({ fmspc, ca, expires }) => {
      const end = new Date(expires).toISOString()
      return `${escapeText(fmspc)} ${escapeText(ca)} ${expires > Date.now() ? 'until' : 'ENDED'} ${end}`
    })
    .join(', ')
}
