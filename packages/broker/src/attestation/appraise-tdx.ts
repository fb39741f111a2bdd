/**
 * A TD by its quote. The verifier holds it against Intel's collateral, of which the broker has what its owner gave it; MRTD and RTMRs are compared with the
 * registry, and the status of the platform's TCB with the policy of the secret, at each release.
 */
import { z } from 'zod'
import { initdataField } from '@cloister/protocol/initdata'
import { fromBase64 } from '@cloister/verifier/bytes/base64'
import { FormatError } from '@cloister/verifier/bytes/format-error'
import type { DcapEndorsements } from '@cloister/verifier/dcap/endorsements'
import type { Check } from '@cloister/verifier/result/check'
import type { EndorsementCache } from '@cloister/verifier/result/endorsement-cache'
import type { appraiseTdx } from '@cloister/verifier/tdx/appraise'
import type { TdxClaims as VerifiedClaims } from '@cloister/verifier/tdx/claims'
import { INTEL_TCB_STATUSES } from '@cloister/protocol/broker-admin-api'
import type { EvidenceAppraisal, Expectations } from './appraise-evidence.ts'
import type { TdxClaims } from './attestation-result.ts'
import { machineEvents } from './machine-events.ts'

export interface TdxAppraisalContext {
  /** Intel's, from the owner. */
  readonly intelCollateral: DcapEndorsements
  /** Milliseconds since 1970. */
  readonly now: number
}

/** MRCONFIGID. */
const FIELD_BYTES = 48

/** The form of the KBS protocol. The event log explains registers to people; nothing here rests on it. */
const EvidenceSchema = z.object({
  quote: z.string().max(1 << 20),
  cc_eventlog: z.unknown().optional(),
})

/** Judged at each release, by the policy of the secret. */
const STATUS_WARNING = 'dcap.tcb.status'

/** @throws FormatError when the evidence cannot be read */
export async function appraiseTdxEvidence(
  primaryEvidence: unknown,
  { reportData, runtimeData, initdata }: Expectations,
  { intelCollateral, now }: TdxAppraisalContext,
  verifier: { readonly appraise: typeof appraiseTdx; readonly cache: EndorsementCache },
): Promise<EvidenceAppraisal> {
  const evidence = EvidenceSchema.safeParse(primaryEvidence)
  if (!evidence.success) throw new FormatError('TDX evidence', 'quote', 0, 'is missing')
  const appraisal = await verifier.appraise(fromBase64(evidence.data.quote), {
    expect: {
      reportData,
      mrTd: 'any',
      mrConfigId: initdata === undefined ? 'any' : initdataField(initdata.hostData, FIELD_BYTES),
      rtmr0: 'any',
      rtmr1: 'any',
      rtmr2: 'any',
      // For what the guest measures while it runs.
      rtmr3: 'any',
    },
    now: new Date(now),
    endorsements: intelCollateral,
    policy: { acceptTcbStatuses: INTEL_TCB_STATUSES, requireSeptVeDisable: true },
    cache: verifier.cache,
  })
  if (appraisal.status === 'none' || appraisal.status === 'contraindicated')
    return { accepted: false, checks: appraisal.checks }
  const { claims } = appraisal
  // A digest of another length than ours would be cut where the registry is asked.
  const padded = check(
    'attestation.initdata-mismatch',
    /^[0-9a-f]{64}0{32}$/.test(claims.mrConfigId),
  )
  const checks: readonly Check[] = [...appraisal.checks, padded]
  if (padded.outcome === 'fail') return { accepted: false, checks }
  const warnings = appraisal.status === 'warning' ? appraisal.reasons : []
  const others = warnings.filter((code) => code !== STATUS_WARNING)
  return {
    accepted: true,
    result: {
      anchors: 'intel',
      appraisal: others.length === 0 ? 'affirming' : 'warning',
      claims: claimsForToken(claims),
      hostData: claims.mrConfigId.slice(0, 64),
      reportData: claims.reportData,
      runtimeData,
    },
    degraded: warnings.length > 0,
    initdataClaims: initdata === undefined ? null : initdata.claims(),
    checks,
    explain: async () => await machineEvents(evidence.data.cc_eventlog, claims.rtmr0),
  }
}

function check(code: string, holds: boolean): Check {
  return { code, outcome: holds ? 'pass' : 'fail', where: 'MRCONFIGID' }
}

const NO_SERVICE_TD = /^0*$/

/** @throws TypeError when the verifier affirmed a quote without a TCB level or a platform, which would be its defect */
function claimsForToken(claims: VerifiedClaims): TdxClaims {
  const { attributes, tcb, fmspc, ppid, platformInstanceId } = claims
  if (tcb === null || fmspc === null || ppid === null)
    throw new TypeError('a verified quote is of a platform with a TCB level')
  const status = INTEL_TCB_STATUSES.find((name) => name === tcb.status)
  if (status === undefined) throw new TypeError('no verified quote is of a revoked TCB level')
  return {
    quote: {
      body: {
        tcb_svn: claims.teeTcbSvn,
        mr_seam: claims.mrSeam,
        mrsigner_seam: claims.mrSignerSeam,
        td_attributes: attributes.raw,
        xfam: claims.xfam,
        mr_td: claims.mrTd,
        mr_config_id: claims.mrConfigId,
        mr_owner: claims.mrOwner,
        mr_owner_config: claims.mrOwnerConfig,
        rtmr_0: claims.rtmr0,
        rtmr_1: claims.rtmr1,
        rtmr_2: claims.rtmr2,
        rtmr_3: claims.rtmr3,
      },
    },
    td_attributes: {
      debug: attributes.debug || attributes.underDebug,
      septve_disable: attributes.septVeDisable,
      protection_keys: attributes.pks,
      key_locker: attributes.keyLocker,
      perfmon: attributes.perfmon,
    },
    migratable: attributes.migratable,
    service_td: !NO_SERVICE_TD.test(claims.mrServiceTd ?? ''),
    tcb_status: status,
    tcb_date: tcb.tcbDate,
    tcb_eval_num: tcb.evaluationDataNumber,
    advisory_ids: [...tcb.advisories],
    earliest_expiration_date: tcb.expires,
    fmspc,
    platform_provider_id: ppid,
    ...(platformInstanceId !== null && { platform_instance_id: platformInstanceId }),
  }
}
