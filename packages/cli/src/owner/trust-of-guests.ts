/** The trust of workloads and VMs for a list: computed here, from fresh evidence of each that can answer, asked for at the same time. hostd's word alone is none. */
import type { HostdClient } from '@cloister/hostd/client'
import type { WorkloadView } from '@cloister/protocol/hostd-api'
import type { VmView } from '@cloister/protocol/hostd-vm-api'
import type { Invocation } from '../command.ts'
import { appraiseWorkload, ownerReferences } from './appraise-workload.ts'
import { openBroker } from './broker-client.ts'
import type { TrustState } from './trust-state.ts'

/** A guest that does not answer in this time is listed as unattested. */
const EVIDENCE_TIMEOUT_MS = 5000

type GuestView = Pick<WorkloadView, 'name' | 'state'> | Pick<VmView, 'name' | 'state' | 'hasAgent'>

/** The trust state of each, in their order; without an answer nothing is known, and `verify` gives the reason. */
export async function trustOfGuests(
  views: readonly GuestView[],
  hostd: HostdClient,
  { directories, signal }: Pick<Invocation, 'directories' | 'signal'>,
): Promise<TrustState[]> {
  const broker = () => openBroker(directories, signal)
  let asked: ReturnType<typeof ownerReferences> | undefined
  // Once for all, and not for a list in which nobody answers.
  const references = () => (asked ??= ownerReferences(directories, broker()))
  const trustOf = async (view: GuestView, limited: AbortSignal): Promise<TrustState> => {
    const { name } = view
    if (!isVm(view)) {
      const known = (await references())(name)
      return (await appraiseWorkload(name, hostd, known, { signal: limited })).verdict.trust
    }
    const { appraiseVm } = await import('../vm/appraise-vm.ts')
    return (await appraiseVm(name, { hostd, broker, references, signal: limited })).trust
  }
  return await Promise.all(
    views.map(async (view): Promise<TrustState> => {
      if (!canAnswer(view)) return 'unattested'
      const limited = AbortSignal.any([signal, AbortSignal.timeout(EVIDENCE_TIMEOUT_MS)])
      return await trustOf(view, limited).catch(() => 'unattested')
    }),
  )
}

function isVm(view: GuestView): view is Pick<VmView, 'name' | 'state' | 'hasAgent'> {
  return 'hasAgent' in view
}

function canAnswer(view: GuestView): boolean {
  return view.state === 'running' && (!isVm(view) || view.hasAgent)
}
