/** What is claimed of a VM, and what stands behind each claim. A claim is worth what stands behind it, and nothing more. */
import type { TpmClaims } from '@cloister/verifier/tpm/claims'
import type { CertifiedMachine } from '@cloister/verifier/tpm/certified-machine'
import type { TrustVerdict } from '../owner/trust-state.ts'

/**
 * `hardware-launch-measurement`: the processor measured it when it started the VM. `simulated-launch-measurement`: a program of the host did. `host-vtpm`: a
 * TPM that the host runs, and can make say anything.
 */
const BEHIND = ['hardware-launch-measurement', 'simulated-launch-measurement', 'host-vtpm'] as const
export type Behind = (typeof BEHIND)[number]

export interface VmClaim {
  readonly claim: string
  readonly value: string
  readonly behind: Behind
}

export const BEHIND_MEANING: Readonly<Record<Behind, string>> = {
  'hardware-launch-measurement': 'the processor measured it at launch',
  'simulated-launch-measurement': 'a simulated processor measured it: it proves nothing',
  'host-vtpm':
    'the TPM that the host runs: it holds against changes in the guest, not against the host',
}

/** Of a VM whose hardware measured its launch. @param verdict - one whose evidence could be read */
export function launchClaims({ anchor, launchDigest, initdataDigest }: TrustVerdict): VmClaim[] {
  if (anchor === undefined || launchDigest === undefined) return []
  const behind =
    anchor.kind === 'hardware' ? 'hardware-launch-measurement' : 'simulated-launch-measurement'
  return [
    { claim: 'kernel, initrd and command line', value: launchDigest, behind },
    { claim: 'initdata', value: initdataDigest, behind },
  ]
}

/** Of a VM by its TPM. */
export function tpmClaims(claims: TpmClaims, machine: CertifiedMachine | undefined): VmClaim[] {
  const { boot, clock } = claims
  const secureBoot = boot?.secureBoot?.enabled
  const list: readonly (readonly [string, string | undefined])[] = [
    ['TPM', machine?.endorsementKey],
    ['Secure Boot', secureBoot === undefined ? undefined : secureBoot ? 'on' : 'off'],
    ['firmware', boot?.firmwareVersion ?? undefined],
    ['boot loaders', boot?.applications.join(' ')],
    ['kernel command line', boot?.kernelCommandLines.at(-1)],
    ['resets', String(clock.resetCount)],
  ]
  return list.flatMap(([claim, value]) =>
    value === undefined || value === '' ? [] : [{ claim, value, behind: 'host-vtpm' }],
  )
}
