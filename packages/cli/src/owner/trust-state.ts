/**
 * The trust state of a running workload, as its owner computes it from fresh evidence. Nothing that the host says about trust counts:
 * the host only carries the bytes.
 */
import { createHash } from 'node:crypto'
import type { WorkloadRevision } from '@cloister/protocol/broker-admin-api'
import type { GuestImageManifest } from '@cloister/protocol/guest-image-manifest'
import type { EvidenceAnswer } from '@cloister/protocol/hostd-api'
import { verifyReportData } from '@cloister/protocol/report-data'
import type { Anchor, Appraisal } from '@cloister/verifier/result/appraisal'
import { appraiseSnp } from '@cloister/verifier/snp/appraise'
import { parseSnpEvidenceJson } from '@cloister/verifier/snp/evidence-json'
import type { SnpPolicy } from '@cloister/verifier/snp/policy'

/** In the words of every list, page and JSON object. Only `verified` may be shown green. */
export const TRUST_STATES = [
  'verified',
  'stale',
  'degraded',
  'debug',
  'simulated',
  'failed',
  'unattested',
] as const
export type TrustState = (typeof TRUST_STATES)[number]

export interface TrustCheck {
  readonly code: string
  readonly outcome: 'pass' | 'fail' | 'undecided' | 'warning' | 'not-checked'
  readonly expected?: string
  readonly received?: string
  readonly where?: string
}

export interface TrustVerdict {
  readonly trust: TrustState
  readonly checks: readonly TrustCheck[]
  /** Whose signature stands behind it; absent when no chain to a pinned root was found. */
  readonly anchor?: Anchor
  /** 96 hex digits, as the report has it; absent when the report could not be read. */
  readonly launchDigest?: string
  readonly initdataDigest: string
  /** SHA-256 of the SPKI of the channel's TLS key, hex; only to be relied on when `trust` is good enough for the caller. */
  readonly channelKeyDigest: string
}

/** What the owner holds the evidence against. */
export interface OwnerReferences {
  readonly manifests: readonly GuestImageManifest[]
  /** Revisions of this workload's name at the broker. */
  readonly revisions: readonly WorkloadRevision[]
  readonly simulatedRoots: readonly string[]
  readonly policy?: SnpPolicy
}

/** @param nonce - the one that the evidence was asked with, 16 to 64 bytes */
export async function computeTrust(
  answer: EvidenceAnswer,
  nonce: Uint8Array,
  references: OwnerReferences,
  now: Date,
): Promise<TrustVerdict> {
  const initdata = Buffer.from(answer.initdata, 'base64')
  const agentKey = Buffer.from(answer.agentKey, 'base64')
  const channelKey = Buffer.from(answer.channelKey, 'base64')
  const expect = {
    reportData: verifyReportData(nonce, agentKey, channelKey),
    hostData: createHash('sha256').update(initdata).digest(),
  }
  const appraisal = await appraiseEvidence(answer, expect, references, now)
  const initdataDigest = sha256(initdata)
  const registered = registrationCheck(initdataDigest, references.revisions)
  const debug = isDebug(appraisal, references.manifests)
  return {
    trust: stateOf(appraisal, registered, debug),
    checks: [...appraisal.checks, registered],
    ...(appraisal.anchor !== undefined && { anchor: appraisal.anchor }),
    ...launchDigestOf(appraisal),
    initdataDigest,
    channelKeyDigest: sha256(channelKey),
  }
}

type SnpResult = Appraisal<{ readonly measurement: string }>

/** Under AMD's roots with the hardware digests; only evidence that has no such root is held against the pinned simulated ones. */
async function appraiseEvidence(
  answer: EvidenceAnswer,
  expect: { reportData: Uint8Array; hostData: Uint8Array },
  { manifests, simulatedRoots, policy }: OwnerReferences,
  now: Date,
): Promise<SnpResult> {
  const evidence = parseSnpEvidenceJson(answer.evidenceJson)
  const options = { now, ...(policy !== undefined && { policy }) }
  const hardware = await appraiseSnp(evidence, {
    ...options,
    expect: { ...expect, measurement: digestsOf(manifests, 'hardware') },
  })
  if (hardware.anchor !== undefined || simulatedRoots.length === 0) return hardware
  return await appraiseSnp(evidence, {
    ...options,
    expect: {
      ...expect,
      measurement: [...digestsOf(manifests, 'simulated'), ...digestsOf(manifests, 'debug')],
    },
    simulatedRoots,
  })
}

function digestsOf(
  manifests: readonly GuestImageManifest[],
  mode: 'hardware' | 'simulated' | 'debug',
): string[] {
  return manifests.flatMap(({ expected }) =>
    Object.values(expected.snp[mode]).flatMap((counts) => Object.values(counts)),
  )
}

function isDebug(appraisal: SnpResult, manifests: readonly GuestImageManifest[]): boolean {
  const { launchDigest } = launchDigestOf(appraisal)
  return launchDigest !== undefined && digestsOf(manifests, 'debug').includes(launchDigest)
}

function launchDigestOf(appraisal: SnpResult): { launchDigest?: string } {
  const claims = 'claims' in appraisal ? appraisal.claims : appraisal.unverifiedClaims
  return claims === undefined ? {} : { launchDigest: claims.measurement }
}

function registrationCheck(digest: string, revisions: readonly WorkloadRevision[]): TrustCheck {
  const found = revisions.find(({ initdataDigest }) => initdataDigest === digest)
  return {
    code: 'workload.registered',
    outcome: found?.state === 'current' ? 'pass' : 'fail',
    expected: 'initdata of the current registered revision',
    received:
      found === undefined
        ? 'initdata that no owner registered'
        : `revision ${found.revision}, ${found.state}`,
  }
}

function stateOf(appraisal: SnpResult, registered: TrustCheck, debug: boolean): TrustState {
  if (appraisal.status === 'contraindicated' || registered.outcome === 'fail') return 'failed'
  if (appraisal.status === 'none') return isOutOfDate(appraisal.reasons) ? 'stale' : 'unattested'
  if (debug) return 'debug'
  if (appraisal.anchor.kind === 'simulated') return 'simulated'
  // No other kind of anchor stands behind an SNP report.
  if (appraisal.anchor.kind !== 'hardware') return 'failed'
  return appraisal.status === 'affirming' ? 'verified' : 'degraded'
}

/** Endorsements that were good once and have run out. */
function isOutOfDate(reasons: readonly string[]): boolean {
  return reasons.every((code) => code.endsWith('.expired'))
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
