/** A release policy as sentences. */
import {
  TdxReleaseSchema,
  type ReleasePolicy,
  type SecretList,
  type TpmReleasePolicy,
} from '@cloister/protocol/broker-admin-api'

type Secret = SecretList['secrets'][number]

export function releaseSentences({ release, allowSimulated }: Secret): string[] {
  if (release === null) return ['goes to nobody: it has no release policy']
  const rego = release.rego === undefined ? [] : ['only where its Rego policy allows it too']
  if (release.kind === 'tpm') return [...tpmSentences(release), ...rego]
  return [
    `goes to ${release.workloads.map(workloadPhrase).join(' or ')}, current revision, VMPL 0, no debug, no migration`,
    `in guest image ${release.guestImages.map(({ name, minimumVersion }) => `${name} version ${minimumVersion} or newer`).join(' or ')}`,
    ...anchorSentences(release, allowSimulated),
    ...tdxSentences(release),
    platformSentence(release),
    release.allowDegraded
      ? 'also when the appraisal has warnings'
      : 'only when the appraisal has no warnings',
    ...rego,
  ]
}

function tpmSentences({ endorsementKeys, requireSecureBoot, pcrs }: TpmReleasePolicy): string[] {
  const named = Object.keys(pcrs)
  return [
    `goes to the VM(s) whose TPM has the EK certificate ${endorsementKeys.join(' or ')}`,
    'their host runs that TPM, and can have it too',
    requireSecureBoot ? 'only where Secure Boot is shown to be on' : 'with or without Secure Boot',
    named.length === 0
      ? 'whatever they booted'
      : `only with the accepted values of ${named.join(', ')}`,
  ]
}

function workloadPhrase({
  name,
  minimumRevision,
  maximumRevision,
}: ReleasePolicy['workloads'][number]): string {
  const from = minimumRevision === undefined ? '' : ` from revision ${minimumRevision}`
  const to = maximumRevision === undefined ? '' : ` up to revision ${maximumRevision}`
  return `workload ${name}${from}${to}`
}

function anchorSentences(
  { anchors, minimumTcb, minimumTcbPreset: preset }: ReleasePolicy,
  allowSimulated: boolean,
): string[] {
  const lines = Object.entries(minimumTcb).map(
    ([line, tcb]) =>
      `${line} with at least bootloader ${tcb.bootloader}, tee ${tcb.tee}, snp ${tcb.snp}, microcode ${tcb.microcode}`,
  )
  if (preset !== undefined)
    lines.push(
      `processors for which preset ${preset} of AMD's bulletins has a figure, at that or newer`,
    )
  return [
    ...(anchors.includes('amd')
      ? [
          `on AMD hardware: ${lines.length > 0 ? lines.join('; ') : 'no processor line is listed, so none'}`,
        ]
      : []),
    ...(anchors.includes('simulated')
      ? [
          allowSimulated
            ? 'in simulation too, which protects nothing'
            : 'not in simulation: the secret was stored without --allow-simulated',
        ]
      : []),
  ]
}

function tdxSentences({ anchors, tdx, allowDegraded }: ReleasePolicy): string[] {
  if (!anchors.includes('intel')) return []
  const { tcbStatuses, rtmr0, acceptAdvisories } = tdx ?? TdxReleaseSchema.parse({})
  const advisories =
    acceptAdvisories === undefined
      ? ''
      : `, with no advisory but ${acceptAdvisories.join(', ') || 'none'}`
  const machine =
    rtmr0 !== undefined
      ? `only where RTMR0, the machine, is ${rtmr0.join(' or ')}`
      : allowDegraded
        ? 'whatever RTMR0, the machine, is'
        : 'to none of them until the policy names their RTMR0 (`tdx.rtmr0`)'
  return [`on Intel TDX whose TCB is ${tcbStatuses.join(' or ')}${advisories}`, machine]
}

function platformSentence({ platforms }: ReleasePolicy): string {
  if (platforms === 'any') return 'on any chip'
  return platforms === 'enrolled'
    ? 'on enrolled chips only'
    : `on ${platforms.length} named chip(s) only`
}
