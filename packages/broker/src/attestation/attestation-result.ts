/**
 * What the broker knows of an Attester after appraisal: the claims of its report and the key bound in it. It travels in
 * the token (EAR) and is read back from there, so that the release decision needs nothing but a token and the registry.
 */
import { z } from 'zod'
import { TeePublicKeySchema } from '@cloister/protocol/kbs'
import { MinimumTcbSchema, PROCESSOR_LINES } from '@cloister/protocol/broker-admin-api'

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
  reported_tcb: MinimumTcbSchema,
  committed_tcb: MinimumTcbSchema,
  launch_tcb: MinimumTcbSchema,
  /** SHA-256 of the DER of the simulated root that the chain ended in; absent under AMD's. */
  simulated_root: hex(32).optional(),
})
export type SnpClaims = z.infer<typeof SnpClaimsSchema>

const RuntimeDataClaimsSchema = z.object({
  nonce: z.string(),
  'tee-pubkey': TeePublicKeySchema,
  'additional-evidence': z.string(),
})

const CpuSchema = z.object({
  'cloister.appraisal': z.enum(['affirming', 'warning']),
  'ear.veraison.annotated-evidence': z.object({
    snp: SnpClaimsSchema.optional(),
    sample: SnpClaimsSchema.optional(),
    report_data: hex(64),
    init_data: hex(32),
    runtime_data_claims: RuntimeDataClaimsSchema,
  }),
})

const TokenClaimsSchema = z.object({
  exp: z.int(),
  submods: z.object({ cpu0: CpuSchema }),
})

/** An Attester whose evidence was verified. Says nothing of what the owner registered: that is asked at each release. */
export interface AttestationResult {
  /** `simulated` proves nothing about hardware; in tokens such claims stand under `sample` (design, rule 4). */
  readonly anchors: 'amd' | 'simulated'
  /** `warning`: the appraisal found something that a policy must accept on purpose. */
  readonly appraisal: 'affirming' | 'warning'
  readonly claims: SnpClaims
  /** HOST_DATA, hex. */
  readonly hostData: string
  /** REPORT_DATA, hex. */
  readonly reportData: string
  readonly runtimeData: z.infer<typeof RuntimeDataClaimsSchema>
  /** Milliseconds since 1970. */
  readonly expiresAt: number
  /** The token that says all this. */
  readonly token: string
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
  const { snp, sample } = evidence
  const claims = snp ?? sample
  if (claims === undefined || (snp !== undefined && sample !== undefined)) return undefined
  return {
    anchors: snp === undefined ? 'simulated' : 'amd',
    appraisal: submods.cpu0['cloister.appraisal'],
    claims,
    hostData: evidence.init_data,
    reportData: evidence.report_data,
    runtimeData: evidence.runtime_data_claims,
    expiresAt: exp * 1000,
    token,
  }
}
