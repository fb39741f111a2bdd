/**
 * The trust state of a running workload, as its owner computes it from fresh evidence. Nothing that the host says about trust counts:
 * the host only carries the bytes.
 */
import { createHash } from 'node:crypto'
import type { WorkloadRevision } from '@cloister/protocol/broker-admin-api'
import type { GuestImageManifest } from '@cloister/protocol/guest-image-manifest'
import type { EvidenceAnswer } from '@cloister/protocol/hostd-api'
import { verifyReportData } from '@cloister/protocol/report-data'
import { FormatError } from '@cloister/verifier/bytes/format-error'
import type { Anchor } from '@cloister/verifier/result/appraisal'
import { appraiseSnp, type SnpAppraisal } from '@cloister/verifier/snp/appraise'
import type { SnpEvidence } from '@cloister/verifier/snp/evidence'
import { parseSnpEvidenceJson } from '@cloister/verifier/snp/evidence-json'
import type { SnpPolicy } from '@cloister/verifier/snp/policy'
import { PRODUCT_LINES } from '@cloister/verifier/snp/product'
import { parseSnpReport } from '@cloister/verifier/snp/report'
import { appraiseTdx, type TdxAppraisal } from '@cloister/verifier/tdx/appraise'
import type { AmdLists } from '../endorsements/amd-lists.ts'
import { DEFAULT_TCB_PRESET } from './minimum-tcb.ts'
import { openingsCheck } from './policy-openings.ts'
import { registeredDigests, type RegisteredImage } from './registered-image.ts'
import { appraiseTd, type IntelCollateral, type TdVerdict } from './td-evidence.ts'
import { diskCheck, imagesFor, openingCheck, vmIn } from './vm-boot-check.ts'
import type { TrustCheck } from './trust-check.ts'

/** In the words of every list, page and JSON object. Only `verified` may be shown green. */
const TRUST_STATES = [
  'verified',
  'stale',
  'degraded',
  'debug',
  'simulated',
  'failed',
  'unattested',
] as const
export type TrustState = (typeof TRUST_STATES)[number]

export interface TrustVerdict {
  readonly trust: TrustState
  readonly checks: readonly TrustCheck[]
  /** Whose signature stands behind it; absent when no chain to a pinned root was found. */
  readonly anchor?: Anchor
  /** 96 hex digits, as the report has it, RTMR1 for TDX; absent when the report could not be read. */
  readonly launchDigest?: string
  readonly initdataDigest: string
  /** SHA-256 of the SPKI of the channel's TLS key, hex; only to be relied on when `trust` is good enough for the caller. */
  readonly channelKeyDigest: string
}

/** What the owner holds the evidence against. */
export interface OwnerReferences {
  /** Guest images that the owner holds and has not withdrawn. */
  readonly manifests: readonly GuestImageManifest[]
  /** Of a container: what its guest may have booted though it lies here no more. Absent: none. */
  readonly registeredImages?: readonly RegisteredImage[]
  /** Revisions of this workload's name at the broker. */
  readonly revisions: readonly WorkloadRevision[]
  readonly simulatedRoots: readonly string[]
  /** AMD's lists for a line; asked only for Evidence under AMD's roots. Absent: only what the Evidence brings. */
  readonly revocationLists?: AmdLists
  /** Launch digests of guests whose firmware alone was measured; asked for only where no other is reported. Absent: none is known. */
  readonly firmwareDigests?: () => Promise<readonly string[]>
  /** For TDX: values of RTMR0 that the owner accepted for it, hex. Absent: asked for by nobody, none. */
  readonly acceptedMachines?: () => Promise<readonly string[]>
  /** For TDX. Absent: none. */
  readonly intelCollateral?: IntelCollateral
}

/** The verifier's call, so that tests can put a fake AMD in AMD's place. */
export type AppraiseReport = typeof appraiseSnp

/** What `verified` demands beyond the verifier's defaults: as the broker before it releases a secret under the policies that `run` writes. */
const VERIFIED: SnpPolicy = { requireRevocationList: true, minimumTcbPreset: DEFAULT_TCB_PRESET }

/** @param nonce - the one that the evidence was asked with, 16 to 64 bytes */
export async function computeTrust(
  answer: EvidenceAnswer,
  nonce: Uint8Array,
  references: OwnerReferences,
  now: Date,
  appraise: AppraiseReport = appraiseSnp,
  appraiseQuote: typeof appraiseTdx = appraiseTdx,
): Promise<TrustVerdict> {
  const initdata = Buffer.from(answer.initdata, 'base64')
  const agentKey = Buffer.from(answer.agentKey, 'base64')
  const channelKey = Buffer.from(answer.channelKey, 'base64')
  const expect = {
    reportData: verifyReportData(nonce, agentKey, channelKey),
    hostData: createHash('sha256').update(initdata).digest(),
  }
  const initdataDigest = sha256(initdata)
  const registered = registrationCheck(initdataDigest, references.revisions)
  const openings = await openingsCheck(initdata)
  const vm = vmIn(initdata)
  const own = [registered, openings, diskCheck(vm), openingCheck(vm)].filter(
    (check) => check !== undefined,
  )
  const identity = { initdataDigest, channelKeyDigest: sha256(channelKey) }
  if (answer.tee === 'tdx') {
    const rtmr0 = (await references.acceptedMachines?.()) ?? []
    const manifests = imagesFor(vm, references.manifests)
    const { intelCollateral } = references
    const known = { manifests, rtmr0, ...(intelCollateral && { intelCollateral }) }
    const found = await appraiseTd(answer, { ...expect, now }, known, appraiseQuote)
    const debug = openings?.outcome === 'warning'
    return { ...tdVerdict(found, [...own, machineCheck(rtmr0)], debug), ...identity }
  }
  const evidence = readEvidence(answer)
  if (evidence === undefined) return { trust: 'failed', checks: [MALFORMED, ...own], ...identity }
  const question = {
    expect,
    now,
    references: {
      ...references,
      manifests: imagesFor(vm, references.manifests),
      // INVARIANT: the bundle that a VM had before its owner gave it another kernel counts no more.
      registeredImages: vm === undefined ? (references.registeredImages ?? []) : [],
    },
    appraise,
  }
  const appraisal = await appraiseEvidence(evidence, question)
  const byFirmware = await appraiseFirmwareBoot(evidence, appraisal, initdata, question)
  if (byFirmware !== undefined) return { ...byFirmware, ...identity }
  const debug = isDebug(appraisal, references.manifests) || openings?.outcome === 'warning'
  return {
    trust: stateOf(appraisal, own, debug),
    checks: [...appraisal.checks, ...own],
    ...(appraisal.anchor !== undefined && { anchor: appraisal.anchor }),
    ...launchDigestOf(appraisal),
    ...identity,
  }
}

/** @returns a warning where the owner accepted no machine: then its host may have made it as it liked */
function machineCheck(rtmr0: readonly string[]): TrustCheck {
  return {
    code: 'vm.machine-accepted',
    outcome: rtmr0.length > 0 ? 'pass' : 'warning',
    expected: 'an RTMR0 that you accepted (cloister vm accept-machine)',
  }
}

function tdVerdict(
  found: TdVerdict | undefined,
  own: readonly TrustCheck[],
  debug: boolean,
): Omit<TrustVerdict, 'initdataDigest' | 'channelKeyDigest'> {
  if (found === undefined) return { trust: 'failed', checks: [MALFORMED, ...own] }
  const { appraisal, rtmr1 } = found
  return {
    trust: stateOf(appraisal, own, debug),
    checks: [...appraisal.checks, ...own],
    ...(appraisal.anchor !== undefined && { anchor: appraisal.anchor }),
    launchDigest: rtmr1,
  }
}

const MALFORMED: TrustCheck = { code: 'evidence.malformed', outcome: 'fail' }

function readEvidence({ evidenceJson }: EvidenceAnswer): SnpEvidence | undefined {
  try {
    return parseSnpEvidenceJson(evidenceJson)
  } catch (error) {
    if (error instanceof FormatError) return undefined
    throw error
  }
}

interface Question {
  readonly expect: { readonly reportData: Uint8Array; readonly hostData: Uint8Array }
  readonly now: Date
  readonly references: OwnerReferences
  readonly appraise: AppraiseReport
}

/** Under AMD's roots with the hardware digests; only evidence that has no such root is held against the pinned simulated ones. */
async function appraiseEvidence(
  evidence: SnpEvidence,
  { expect, now, references, appraise }: Question,
): Promise<SnpAppraisal> {
  const { manifests, registeredImages = [], simulatedRoots } = references
  const measurement = [
    ...digestsOf(manifests, 'hardware'),
    ...registeredDigests(registeredImages, 'amd'),
  ]
  const found = await appraise(evidence, { now, expect: { ...expect, measurement } })
  if (found.anchor?.kind === 'hardware')
    return await appraiseHardware(evidence, found.anchor, {
      expect,
      now,
      references,
      appraise,
      measurement,
    })
  if (found.anchor !== undefined || simulatedRoots.length === 0) return found
  return await appraise(evidence, {
    now,
    expect: {
      ...expect,
      measurement: [
        ...digestsOf(manifests, 'simulated'),
        ...registeredDigests(registeredImages, 'simulated'),
        ...digestsOf(manifests, 'debug'),
      ],
    },
    simulatedRoots,
  })
}

/** Under AMD's roots, with the lists that the owner has, and then with all that `verified` demands. */
async function appraiseHardware(
  evidence: SnpEvidence,
  anchor: Anchor & { readonly kind: 'hardware' },
  {
    expect,
    now,
    references,
    appraise,
    measurement,
  }: Question & { readonly measurement: readonly string[] },
): Promise<SnpAppraisal> {
  const lists = await listsFor(evidence, anchor, references.revocationLists)
  const listing = {
    now,
    expect: { ...expect, measurement },
    endorsements: { revocationLists: lists },
  }
  const listed = await appraise(evidence, listing)
  if (listed.status !== 'affirming') return listed
  return withWarnings(listed, await appraise(evidence, { ...listing, policy: VERIFIED }))
}

/** In HOST_DATA of a guest that nothing was bound to. */
const NO_HOST_DATA = new Uint8Array(32)

/**
 * A VM that boots its own disk under SNP, with an agent that its owner installed: the hardware measured its firmware and nothing else, so whoever owns
 * the host chose what it booted. Absent: it is none, or not known as one.
 */
async function appraiseFirmwareBoot(
  evidence: SnpEvidence,
  found: SnpAppraisal,
  initdata: Uint8Array,
  question: Question,
): Promise<Pick<TrustVerdict, 'trust' | 'checks' | 'anchor' | 'launchDigest'> | undefined> {
  const { references } = question
  const { launchDigest } = launchDigestOf(found)
  // Under initdata there is an owner who says what is to boot.
  if (initdata.length > 0 || found.anchor?.kind !== 'hardware' || launchDigest === undefined)
    return undefined
  const known = (await references.firmwareDigests?.()) ?? []
  if (!known.includes(launchDigest)) return undefined
  const appraisal = await appraiseHardware(evidence, found.anchor, {
    ...question,
    expect: { ...question.expect, hostData: NO_HOST_DATA },
    measurement: [launchDigest],
  })
  const own = [FIRMWARE_ONLY]
  return {
    // INVARIANT: the warning keeps it from being better than `degraded`.
    trust: stateOf(appraisal, own, false),
    checks: [...appraisal.checks, ...own],
    anchor: found.anchor,
    launchDigest,
  }
}

const FIRMWARE_ONLY: TrustCheck = {
  code: 'vm.boot-measured',
  outcome: 'warning',
  expected: 'kernel, initrd and command line in the launch digest',
  received: 'the firmware alone: the host chose what it booted',
}

async function listsFor(
  { report }: SnpEvidence,
  anchor: Anchor & { readonly kind: 'hardware' },
  lists: AmdLists | undefined,
): Promise<readonly Uint8Array[]> {
  const line = PRODUCT_LINES.find((name) => name === anchor.line)
  if (lists === undefined || line === undefined) return []
  const { signingKey } = parseSnpReport(report).keyInfo
  return lists(line, signingKey === 'vlek' ? 'vlek' : 'vcek')
}

/** What is found only under the stricter policy makes no failure, for owners set other minimums in their release policies; it warns. */
function withWarnings(
  found: SnpAppraisal & { readonly status: 'affirming' },
  strict: SnpAppraisal,
): SnpAppraisal {
  if (strict.status === 'affirming') return strict
  const checks = strict.checks.map((check) =>
    check.outcome === 'fail' || check.outcome === 'undecided'
      ? { ...check, outcome: 'warning' as const }
      : check,
  )
  return { ...found, status: 'warning', reasons: strict.reasons, checks }
}

function digestsOf(
  manifests: readonly GuestImageManifest[],
  mode: 'hardware' | 'simulated' | 'debug',
): string[] {
  return manifests.flatMap(({ expected }) =>
    Object.values(expected.snp[mode]).flatMap((counts) => Object.values(counts)),
  )
}

function isDebug(appraisal: SnpAppraisal, manifests: readonly GuestImageManifest[]): boolean {
  const { launchDigest } = launchDigestOf(appraisal)
  return launchDigest !== undefined && digestsOf(manifests, 'debug').includes(launchDigest)
}

function launchDigestOf(appraisal: SnpAppraisal): { launchDigest?: string } {
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

function stateOf(
  appraisal: SnpAppraisal | TdxAppraisal,
  own: readonly TrustCheck[],
  debug: boolean,
): TrustState {
  const isRefused = own.some(({ outcome }) => outcome === 'fail')
  if (appraisal.status === 'contraindicated' || isRefused) return 'failed'
  if (appraisal.status === 'none') return isOutOfDate(appraisal.reasons) ? 'stale' : 'unattested'
  if (debug) return 'debug'
  if (appraisal.anchor.kind === 'simulated') return 'simulated'
  // No other kind of anchor stands behind an SNP report or a TDX quote.
  if (appraisal.anchor.kind !== 'hardware') return 'failed'
  const isWarned = own.some(({ outcome }) => outcome === 'warning')
  return appraisal.status === 'affirming' && !isWarned ? 'verified' : 'degraded'
}

/** Endorsements that were good once and have run out. */
function isOutOfDate(reasons: readonly string[]): boolean {
  return reasons.length > 0 && reasons.every((code) => code.endsWith('.expired'))
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
