/**
 * From a KBS Attestation to what the broker knows of the Attester. The verifier says who vouches and what the report claims;
 * here stand what it must be bound to (nonce, key, initdata) and what this broker demands beyond the verifier's defaults.
 */
import { hash } from 'node:crypto'
import { CloisterError } from '@cloister/protocol/error'
import type { KbsAttestation } from '@cloister/protocol/kbs'
import { primaryReportData } from '@cloister/protocol/report-data'
import { FormatError } from '@cloister/verifier/bytes/format-error'
import { EndorsementCache } from '@cloister/verifier/result/endorsement-cache'
import type { Check } from '@cloister/verifier/result/check'
import { appraiseSnp, type SnpAppraisal } from '@cloister/verifier/snp/appraise'
import type { SnpEvidence } from '@cloister/verifier/snp/evidence'
import { parseSnpEvidenceJson } from '@cloister/verifier/snp/evidence-json'
import { appraiseTdx } from '@cloister/verifier/tdx/appraise'
import { appraiseTdxEvidence, type TdxAppraisalContext } from './appraise-tdx.ts'
import { appraiseTpmEvidence, type TpmAppraisalContext } from './appraise-tpm.ts'
import type { AttestationFindings, SnpFindings } from './attestation-result.ts'
import { SentInitdataReader, type SentInitdata } from './sent-initdata.ts'
import { snpClaimsForToken } from './snp-token-claims.ts'

const CHIP_ID = { offset: 0x1a0, end: 0x1e0 } as const

/** What the owner decided, as it stands now. */
export interface AppraisalContext extends TpmAppraisalContext, TdxAppraisalContext {
  /** Fingerprints, hex. */
  readonly simulatedRoots: readonly string[]
  /** AMD's, DER. */
  readonly revocationLists: readonly Uint8Array[]
  readonly isEnrolled: (chipId: string) => boolean
}

export type EvidenceAppraisal =
  | {
      readonly accepted: true
      readonly result: AttestationFindings
      /** Whether the verifier warned of anything but the simulation itself. */
      readonly degraded: boolean
      /** For the token; null when the Attester sent no initdata. */
      readonly initdataClaims: unknown
      readonly checks: readonly Check[]
      /** What the Evidence's event log says, for the audit of a workload that the owner knows. Absent: the Evidence has none that is read. */
      readonly explain?: () => Promise<readonly Check[]>
    }
  | { readonly accepted: false; readonly checks: readonly Check[] }

/** Never throws because of what the Attester sent. */
export type AppraiseEvidence = (
  tee: string,
  attestation: KbsAttestation,
  context: AppraisalContext,
) => Promise<EvidenceAppraisal>

/** The verifier's calls, so that tests can put a fake AMD or Intel in their places. */
export interface Appraisers {
  readonly snp: typeof appraiseSnp
  readonly tdx: typeof appraiseTdx
}

export const HARDWARE_APPRAISERS: Appraisers = { snp: appraiseSnp, tdx: appraiseTdx }

export function isSupportedTee(tee: string): boolean {
  return tee === 'snp' || tee === 'tdx' || tee === 'tpm'
}

/** An appraiser with its own caches, of verified endorsements and of initdata. */
export function createEvidenceAppraiser(
  appraisers: Appraisers = HARDWARE_APPRAISERS,
): AppraiseEvidence {
  const cache = new EndorsementCache({ maxEntries: 256 })
  const initdata = new SentInitdataReader()
  const appraise = async (
    tee: string,
    primary: unknown,
    expected: Expectations,
    context: AppraisalContext,
  ): Promise<EvidenceAppraisal> => {
    if (tee === 'tpm') return await appraiseTpmEvidence(primary, expected, context)
    if (tee === 'tdx')
      return await appraiseTdxEvidence(primary, expected, context, {
        appraise: appraisers.tdx,
        cache,
      })
    const evidence = parseSnpEvidenceJson(primary)
    const simulated = bringsSimulatedRoot(evidence, context)
    const options = appraisalOptions(evidence, expected, context, simulated)
    return conclude(await appraisers.snp(evidence, { ...options, cache }), expected, simulated)
  }
  return async (tee, attestation, context) => {
    if (!isSupportedTee(tee)) return refused('attestation.tee-unsupported')
    try {
      const expected = readExpectations(attestation, initdata)
      const { primary_evidence: primary } = attestation['tee-evidence']
      const appraisal = await appraise(tee, primary, expected, context)
      if (appraisal.accepted && expected.initdata !== undefined)
        initdata.remember(expected.initdata)
      return appraisal
    } catch (error) {
      if (error instanceof FormatError)
        return refused('attestation.evidence-malformed', error.message.slice(0, 200))
      if (error instanceof CloisterError) return refused(error.code, error.details.where)
      throw error
    }
  }
}

/** What evidence must be bound to. */
export interface Expectations {
  readonly runtimeData: SnpFindings['runtimeData']
  readonly reportData: Uint8Array
  /** Absent: none was sent, and the digest is looked up among the registered ones. */
  readonly initdata?: SentInitdata
}

function readExpectations(
  attestation: KbsAttestation,
  initdataReader: SentInitdataReader,
): Expectations {
  const { nonce, 'tee-pubkey': teePublicKey } = attestation['runtime-data']
  const { additional_evidence } = attestation['tee-evidence']
  // One device that cannot be verified fails the whole; this broker verifies none beside the CPU.
  if (additional_evidence !== '') throw new CloisterError('attestation.tee-unsupported')
  const initdata = attestation['init-data']
  return {
    runtimeData: {
      nonce,
      'tee-pubkey': teePublicKey,
      'additional-evidence': additional_evidence,
    },
    reportData: primaryReportData({ nonce, teePublicKey }, additional_evidence),
    ...(initdata !== undefined && { initdata: initdataReader.read(initdata) }),
  }
}

function appraisalOptions(
  evidence: SnpEvidence,
  expected: Expectations,
  context: AppraisalContext,
  simulated: boolean,
) {
  const chipId = Buffer.from(evidence.report.subarray(CHIP_ID.offset, CHIP_ID.end)).toString('hex')
  return {
    expect: {
      reportData: expected.reportData,
      // Measurement and initdata are compared with the registry: at attestation for the token, at each release for good.
      measurement: 'any' as const,
      hostData: expected.initdata?.hostData ?? ('any' as const),
    },
    now: new Date(context.now),
    endorsements: { revocationLists: simulated ? [] : context.revocationLists },
    policy: {
      requireRevocationList: !simulated,
      enrolledChips: context.isEnrolled(chipId) ? [chipId] : [],
    },
    simulatedRoots: context.simulatedRoots,
  }
}

/** Simulated processors have no revocation lists; everything that could stand under AMD's roots must have one. */
function bringsSimulatedRoot(
  { certificates = [] }: SnpEvidence,
  { simulatedRoots }: AppraisalContext,
): boolean {
  return (
    simulatedRoots.length > 0 &&
    // The root comes last as a rule.
    certificates.findLast((der) => simulatedRoots.includes(fingerprint(der))) !== undefined
  )
}

const fingerprint = (der: Uint8Array): string => hash('sha256', der, 'hex')

const SIMULATED_WARNING = 'snp.anchor.simulated'
/** Judged at each release by the enrolment of that moment. */
const ENROLMENT_WARNING = 'snp.chip.not-enrolled'

function conclude(
  appraisal: SnpAppraisal,
  { runtimeData, initdata }: Expectations,
  withoutRevocation: boolean,
): EvidenceAppraisal {
  const { checks } = appraisal
  if (appraisal.status === 'none' || appraisal.status === 'contraindicated')
    return { accepted: false, checks }
  const { anchor, claims } = appraisal
  // INVARIANT: evidence under a hardware root was held against a revocation list.
  if (anchor.kind === 'hardware' && withoutRevocation)
    return {
      accepted: false,
      checks: [...checks, { code: 'snp.revocation.missing', outcome: 'fail' }],
    }
  const warnings = appraisal.status === 'warning' ? appraisal.reasons : []
  const others = warnings.filter((code) => code !== SIMULATED_WARNING)
  const beyondEnrolment = others.filter((code) => code !== ENROLMENT_WARNING)
  return {
    accepted: true,
    result: {
      anchors: anchor.kind === 'hardware' ? 'amd' : 'simulated',
      appraisal: beyondEnrolment.length === 0 ? 'affirming' : 'warning',
      claims: snpClaimsForToken(claims, anchor),
      hostData: claims.hostData,
      reportData: claims.reportData,
      runtimeData,
    },
    degraded: others.length > 0,
    initdataClaims: initdata === undefined ? null : initdata.claims(),
    checks,
  }
}

function refused(code: string, where?: string): EvidenceAppraisal {
  const check = { code, outcome: 'fail', ...(where !== undefined && { where }) } as const
  return { accepted: false, checks: [check] }
}
