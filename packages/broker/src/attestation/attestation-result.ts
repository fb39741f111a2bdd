/**
 * What the broker knows of an Attester after appraisal: the claims of its report and the key bound in it. It travels in
 * the token (EAR) and is read back from there, so that the release decision needs nothing but a token and the registry.
 */
import { z } from 'zod'
import type { TdxRegisters } from '@cloister/protocol/guest-image-manifest'
import { TeePublicKeySchema } from '@cloister/protocol/kbs'
import {
  INTEL_TCB_STATUSES,
  MinimumTcbSchema,
  PROCESSOR_LINES,
} from '@cloister/protocol/broker-admin-api'

const hex = (bytes: number) => z.string().regex(new RegExp(`^[0-9a-f]{${bytes * 2}}$`))

/**
 * Claims of an SNP report. Names up to `chip_id` are Trustee's; the rest is what a release decision needs beside them.
 */
export const SnpClaimsSchema = z.object({
  policy_abi_major: z.int(),
  policy_abi_minor: z.int(),
  policy_smt_allowed: z.boolean(),
  policy_migrate_ma: z.boolean(),
  policy_debug_allowed: z.boolean(),
  policy_single_socket: z.boolean(),
  reported_tcb_bootloader: z.int(),
  reported_tcb_tee: z.int(),
  reported_tcb_snp: z.int(),
  reported_tcb_microcode: z.int(),
  platform_tsme_enabled: z.boolean(),
  platform_smt_enabled: z.boolean(),
  measurement: hex(48),
  chip_id: hex(64),
  policy_cxl_allowed: z.boolean(),
  /** The report names a migration agent. */
  migration_agent: z.boolean(),
  vmpl: z.int(),
  processor: z.enum(PROCESSOR_LINES),
  /** Null for reports of version 2, which do not name it. */
  processor_id: z.object({ family: z.int(), model: z.int(), stepping: z.int() }).nullable(),
  reported_tcb: MinimumTcbSchema,
  committed_tcb: MinimumTcbSchema,
  launch_tcb: MinimumTcbSchema,
  /** SHA-256 of the DER of the simulated root that the chain ended in; absent under AMD's. */
  simulated_root: hex(32).optional(),
})
export type SnpClaims = z.infer<typeof SnpClaimsSchema>

/** Claims of a TD. Names are Trustee's but for `migratable`, `service_td`, and `fmspc`, which a release decision needs beside them. */
const TdxClaimsSchema = z.object({
  quote: z.object({
    body: z.object({
      tcb_svn: hex(16),
      mr_seam: hex(48),
      mrsigner_seam: hex(48),
      td_attributes: hex(8),
      xfam: hex(8),
      mr_td: hex(48),
      mr_config_id: hex(48),
      mr_owner: hex(48),
      mr_owner_config: hex(48),
      rtmr_0: hex(48),
      rtmr_1: hex(48),
      rtmr_2: hex(48),
      rtmr_3: hex(48),
    }),
  }),
  td_attributes: z.object({
    debug: z.boolean(),
    septve_disable: z.boolean(),
    protection_keys: z.boolean(),
    key_locker: z.boolean(),
    perfmon: z.boolean(),
  }),
  migratable: z.boolean(),
  /** A service TD is bound, such as a migration TD. */
  service_td: z.boolean(),
  tcb_status: z.enum(INTEL_TCB_STATUSES),
  tcb_date: z.string(),
  tcb_eval_num: z.int(),
  advisory_ids: z.array(z.string()),
  /** ISO 8601. */
  earliest_expiration_date: z.string(),
  fmspc: hex(6),
  /** PPID. */
  platform_provider_id: hex(16),
  /** Of machines under Intel's Platform CA. */
  platform_instance_id: hex(16).optional(),
})
export type TdxClaims = z.infer<typeof TdxClaimsSchema>

const Pcrs = z.record(z.string().regex(/^pcr\d{1,2}$/), z.string().regex(/^[0-9a-f]{64,128}$/))

/** Claims of a TPM that the host runs. `pcrNN` stand beside them in the token, as Trustee has them. */
export const TpmClaimsSchema = z.object({
  /** What stands behind the claims: software of the host. Nothing here holds against the host. */
  level: z.literal('host-vtpm'),
  /** SHA-256 of the attestation key's SPKI, hex. */
  ak: hex(32),
  /** SHA-256 of the EK certificate's DER, hex: the machine. */
  endorsement_key: hex(32),
  /** SHA-256 of the CA that vouched for it, hex. */
  endorsement_anchor: hex(32),
  bank: z.string(),
  pcrs: Pcrs,
  /** Null without an event log that adds up. */
  secure_boot: z.boolean().nullable(),
  reset_count: z.int(),
  restart_count: z.int(),
  clock_safe: z.boolean(),
})
export type TpmClaims = z.infer<typeof TpmClaimsSchema>

const RuntimeDataClaimsSchema = z.object({
  nonce: z.string(),
  'tee-pubkey': TeePublicKeySchema,
  'additional-evidence': z.string(),
})

const AnnotatedEvidenceSchema = z.union([
  z.object({
    snp: SnpClaimsSchema.optional(),
    sample: SnpClaimsSchema.optional(),
    tdx: z.undefined().optional(),
    tpm: z.undefined().optional(),
    report_data: hex(64),
    init_data: hex(32),
    runtime_data_claims: RuntimeDataClaimsSchema,
  }),
  z.object({
    snp: z.undefined().optional(),
    sample: z.undefined().optional(),
    tdx: TdxClaimsSchema,
    tpm: z.undefined().optional(),
    report_data: hex(64),
    /** MRCONFIGID: the digest of the initdata, padded with zeros. */
    init_data: z.string().regex(/^[0-9a-f]{64}0{32}$/),
    runtime_data_claims: RuntimeDataClaimsSchema,
  }),
  z.object({
    snp: z.undefined().optional(),
    sample: z.undefined().optional(),
    tdx: z.undefined().optional(),
    tpm: TpmClaimsSchema,
    report_data: hex(32),
    runtime_data_claims: RuntimeDataClaimsSchema,
  }),
])

const CpuSchema = z.object({
  'cloister.appraisal': z.enum(['affirming', 'warning']),
  'ear.veraison.annotated-evidence': AnnotatedEvidenceSchema,
})

const TokenClaimsSchema = z.object({
  exp: z.int(),
  submods: z.object({ cpu0: CpuSchema }),
})

interface Attested {
  /** REPORT_DATA, or what a TPM's quote carries of it, hex. */
  readonly reportData: string
  readonly runtimeData: z.infer<typeof RuntimeDataClaimsSchema>
}

/** From an SNP report. */
export interface SnpFindings extends Attested {
  /** `simulated` proves nothing about hardware; in tokens such claims stand under `sample` (design, rule 4). */
  readonly anchors: 'amd' | 'simulated'
  /** `warning`: the appraisal found something that a policy must accept on purpose. */
  readonly appraisal: 'affirming' | 'warning'
  readonly claims: SnpClaims
  /** HOST_DATA, hex. */
  readonly hostData: string
}

/** From a TDX quote. */
export interface TdxFindings extends Attested {
  readonly anchors: 'intel'
  /** The status of the platform's TCB is no part of it: each release judges that by its policy. */
  readonly appraisal: 'affirming' | 'warning'
  readonly claims: TdxClaims
  /** The initdata digest in MRCONFIGID, hex: what HOST_DATA is on SNP. */
  readonly hostData: string
}

/** From a TEE that holds what the host fixed at launch. */
export type TeeFindings = SnpFindings | TdxFindings

/** From the quote of a TPM that the host runs. */
export interface TpmFindings extends Attested {
  readonly anchors: 'tpm'
  /** INVARIANT: never better, whatever was found: nothing here holds against the host. */
  readonly appraisal: 'warning'
  readonly claims: TpmClaims
}

export type AttestationFindings = TeeFindings | TpmFindings

interface Issued {
  /** Milliseconds since 1970. */
  readonly expiresAt: number
  /** The token that says all this. */
  readonly token: string
}

export type SnpResult = SnpFindings & Issued
export type TdxResult = TdxFindings & Issued
export type TeeResult = SnpResult | TdxResult
export type TpmResult = TpmFindings & Issued

/** An Attester whose evidence was verified. Says nothing of what the owner registered: that is asked at each release. */
export type AttestationResult = TeeResult | TpmResult

/** SHA-256 in hex. */
const INITDATA_DIGITS = 64

/** What stands for the measured boot as a whole, under which guest images are registered. */
export function measurementOf({ anchors, claims }: TeeFindings): string {
  if (anchors !== 'intel') return claims.measurement
  const { mr_td, rtmr_1, rtmr_2 } = claims.quote.body
  return tdxMeasurement({ mrTd: mr_td, rtmr1: rtmr_1, rtmr2: rtmr_2 })
}

/**
 * MRTD alone is the firmware; with RTMR1 and RTMR2 it is firmware, kernel, initrd and command line. INVARIANT: the three count together only, so
 * that a TD of which less is measured matches no guest image.
 */
export function tdxMeasurement({ mrTd, rtmr1, rtmr2 }: TdxRegisters): string {
  return mrTd + rtmr1 + rtmr2
}

/** Names of the machine, any of which an owner may have enrolled. */
export function platformIdsOf({ anchors, claims }: TeeFindings): readonly string[] {
  if (anchors !== 'intel') return [claims.chip_id]
  const { platform_provider_id: ppid, platform_instance_id: instance } = claims
  return instance === undefined ? [ppid] : [ppid, instance]
}

/**
 * Reads a token that {@link TokenSigner} signed or verified.
 *
 * @param tokenClaims - what the token says
 * @returns undefined when it is not ours to read
 */
export function readAttestationResult(
  token: string,
  tokenClaims: unknown,
): AttestationResult | undefined {
  const parsed = TokenClaimsSchema.safeParse(tokenClaims)
  if (!parsed.success) return undefined
  const { exp, submods } = parsed.data
  const evidence = submods.cpu0['ear.veraison.annotated-evidence']
  const common = {
    reportData: evidence.report_data,
    runtimeData: evidence.runtime_data_claims,
    expiresAt: exp * 1000,
    token,
  }
  if (evidence.tpm !== undefined)
    return { anchors: 'tpm', appraisal: 'warning', claims: evidence.tpm, ...common }
  if (evidence.tdx !== undefined)
    return {
      anchors: 'intel',
      appraisal: submods.cpu0['cloister.appraisal'],
      claims: evidence.tdx,
      hostData: evidence.init_data.slice(0, INITDATA_DIGITS),
      ...common,
    }
  const { snp, sample } = evidence
  const claims = snp ?? sample
  if (claims === undefined || (snp !== undefined && sample !== undefined)) return undefined
  return {
    anchors: snp === undefined ? 'simulated' : 'amd',
    appraisal: submods.cpu0['cloister.appraisal'],
    claims,
    hostData: evidence.init_data,
    ...common,
  }
}
