/** The trust of workloads for a list: from fresh evidence of each that runs, asked for at the same time. */
import type { HostdClient } from '@cloister/hostd/client'
import type { WorkloadView } from '@cloister/protocol/hostd-api'
import type { Invocation } from '../command.ts'
import { appraiseWorkload, ownerReferences } from '../owner/appraise-workload.ts'
import { openBroker } from '../owner/broker-client.ts'
import type { TrustState } from '../owner/trust-state.ts'

/** A guest that does not answer in this time is listed as unattested. */
const EVIDENCE_TIMEOUT_MS = 5000

export async function trustOfWorkloads(
  views: readonly Pick<WorkloadView, 'name' | 'state'>[],
  { directories, signal }: Invocation,
  hostd: HostdClient,
): Promise<TrustState[]> {
  if (!views.some(({ state }) => state === 'running')) return views.map(() => 'unattested')
  const references = await ownerReferences(directories, openBroker(directories, signal)).catch(
    () => undefined,
  )
  return await Promise.all(
    views.map(async ({ name, state }): Promise<TrustState> => {
      if (state !== 'running' || references === undefined) return 'unattested'
      const limited = AbortSignal.any([signal, AbortSignal.timeout(EVIDENCE_TIMEOUT_MS)])
      // Without an answer nothing is known, which is what the list says; `verify` gives the reason.
      return await appraiseWorkload(name, hostd, references(name), { signal: limited }).then(
        ({ verdict }) => verdict.trust,
        () => 'unattested',
      )
    }),
  )
}
