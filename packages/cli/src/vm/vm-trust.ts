/** What is known of a VM's trust: computed here, from fresh evidence where an agent answers. hostd's word alone is none. */
import type { HostdClient } from '@cloister/hostd/client'
import type { VmView } from '@cloister/protocol/hostd-vm-api'
import type { Invocation } from '../command.ts'
import { ownerReferences } from '../owner/appraise-workload.ts'
import { openBroker } from '../owner/broker-client.ts'
import type { TrustState } from '../owner/trust-state.ts'

/** A guest that does not answer in this time is listed as unattested. */
const EVIDENCE_TIMEOUT_MS = 5000

/** The trust state of each, in their order; without an answer nothing is known, and `verify` gives the reason. */
export async function trustOfVms(
  views: readonly VmView[],
  hostd: Pick<HostdClient, 'vms'>,
  { directories, signal }: Pick<Invocation, 'directories' | 'signal'>,
): Promise<TrustState[]> {
  if (!views.some(canAnswer)) return views.map(() => 'unattested')
  const { appraiseVm } = await import('./appraise-vm.ts')
  const broker = () => openBroker(directories, signal)
  const references = () => ownerReferences(directories, broker())
  return await Promise.all(
    views.map(async (view): Promise<TrustState> => {
      if (!canAnswer(view)) return 'unattested'
      const limited = AbortSignal.any([signal, AbortSignal.timeout(EVIDENCE_TIMEOUT_MS)])
      return await appraiseVm(view.name, { hostd, broker, references, signal: limited }).then(
        ({ trust }) => trust,
        () => 'unattested',
      )
    }),
  )
}

function canAnswer({ state, hasAgent }: VmView): boolean {
  return state === 'running' && hasAgent
}

/** What stands behind a VM, in one sentence. */
export function protectionOf({ tee, vtpm, secureBoot }: VmView): string {
  switch (tee) {
    case 'none': {
      const inside = [secureBoot ? 'Secure Boot' : '', vtpm ? 'a vTPM' : ''].filter(Boolean)
      const against = inside.length === 0 ? '' : `; ${inside.join(' and ')} against changes inside`
      return `none against the host, which can read and change everything${against}`
    }
    case 'simulated':
      return 'none: the TEE is simulated, memory is not encrypted'
    case 'sev':
      return 'memory is encrypted; registers and integrity are not protected, only the firmware is measured'
    case 'sev-es':
      return 'memory and registers are encrypted; integrity is not protected, only the firmware is measured'
    case 'snp':
    case 'tdx':
      return 'memory is encrypted and its integrity protected, once `cloister verify` says so'
    default:
      return tee satisfies never
  }
}
