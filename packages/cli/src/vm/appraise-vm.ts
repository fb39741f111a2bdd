/** Asks a running VM for evidence over a fresh nonce and computes its trust, by whatever it proves itself with. */
import { createHash, randomBytes } from 'node:crypto'
import type { HostdClient } from '@cloister/hostd/client'
import { CloisterError } from '@cloister/protocol/error'
import type { EvidenceAnswer } from '@cloister/protocol/hostd-api'
import type { ownerReferences } from '../owner/appraise-workload.ts'
import type { BrokerClient } from '../owner/broker-client.ts'
import { computeTpmTrust } from '../owner/vm-evidence.ts'
import type { TrustCheck } from '../owner/trust-check.ts'
import { computeTrust, type TrustState } from '../owner/trust-state.ts'
import { launchClaims, tpmClaims, type VmClaim } from './vm-claims.ts'

export interface VmVerdict {
  readonly trust: TrustState
  readonly checks: readonly TrustCheck[]
  readonly claims: readonly VmClaim[]
  /** SHA-256 of the SPKI of the channel's TLS key, hex; only to be relied on when `trust` is good enough for the caller. Absent: nothing vouches for one. */
  readonly channelKeyDigest?: string
  /** Commands that lead further; empty where there is nothing to do. */
  readonly next: readonly string[]
}

export interface VmAppraisalOptions {
  readonly hostd: Pick<HostdClient, 'vms'>
  /** Asked for only where an agent answers: a VM without one is unattested, whether or not its owner has a broker. */
  readonly broker: () => BrokerClient
  /** Asked for only where a TEE answers. */
  readonly references: () => ReturnType<typeof ownerReferences>
  readonly nonce?: Uint8Array
  readonly signal: AbortSignal
}

const NONCE_BYTES = 32
const WITHOUT_AGENT: TrustCheck = {
  code: 'vm.agent',
  outcome: 'undecided',
  expected: 'an agent that answers with evidence',
  received: 'none',
}

/** @throws CloisterError `vm.not-found`, `vm.not-running`, `owner.broker-*` */
export async function appraiseVm(name: string, options: VmAppraisalOptions): Promise<VmVerdict> {
  const { hostd, broker, references, signal } = options
  const nonce = options.nonce ?? randomBytes(NONCE_BYTES)
  const answer = await evidenceOf(name, { hostd, nonce, signal })
  if (answer === undefined) {
    const next = ['cloister agent package', `cloister vm ssh ${name}`]
    return { trust: 'unattested', checks: [WITHOUT_AGENT], claims: [], next }
  }
  if (answer.tee === 'tpm') return await byTpm(answer, nonce, broker())
  const known = (await references())(name)
  const verdict = await computeTrust(answer, nonce, known, new Date())
  return { ...verdict, claims: launchClaims(verdict), next: [] }
}

/** Undefined where no agent answers. */
async function evidenceOf(
  name: string,
  {
    hostd,
    nonce,
    signal,
  }: { readonly nonce: Uint8Array } & Pick<VmAppraisalOptions, 'hostd' | 'signal'>,
): Promise<EvidenceAnswer | undefined> {
  try {
    return await hostd.vms.evidence(name, nonce, { signal })
  } catch (error) {
    if (error instanceof CloisterError && error.code === 'vm.no-agent') return undefined
    throw error
  }
}

async function byTpm(
  answer: EvidenceAnswer,
  nonce: Uint8Array,
  broker: BrokerClient,
): Promise<VmVerdict> {
  const [{ attestationAuthority }, anchors] = await Promise.all([
    broker.status(),
    broker.tpmAnchors(),
  ])
  const references = {
    attestationAuthority,
    tpmAnchors: anchors.map(({ fingerprint }) => fingerprint),
  }
  const { claims, machine, ...verdict } = await computeTpmTrust(
    answer,
    nonce,
    references,
    new Date(),
  )
  // Only the broker can see by credential activation that the key is in the TPM.
  const isUncertified = verdict.trust === 'unattested' || verdict.trust === 'stale'
  const channelKey = Buffer.from(answer.channelKey, 'base64')
  return {
    ...verdict,
    claims: claims === undefined ? [] : tpmClaims(claims, machine),
    // The quote is over it.
    ...(claims !== undefined && {
      channelKeyDigest: createHash('sha256').update(channelKey).digest('hex'),
    }),
    next: isUncertified ? ['cloister tpm-ca add FILE', 'cloister agent package --broker URL'] : [],
  }
}
