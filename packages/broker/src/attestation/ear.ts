/**
 * EAR: the attestation result as a token's claims, shaped as Trustee's attestation service shapes them, so that its
 * clients and policies find what they look for.
 */
import type { AttestationFindings, TeeFindings, TpmFindings } from './attestation-result.ts'

/** Trustee's default: the claims are its profile. */
const EAT_PROFILE = 'tag:github.com,2024:confidential-containers/Trustee'
const ISSUER = 'Cloister'
export const TOKEN_SECONDS = 300

/** AR4SI values: 2 and 3 affirm, 32, 33 and 36 warn, 97 contraindicates. */
const TRUST = {
  none: 0,
  knownInstance: 2,
  genuineHardware: 2,
  /** "Unsafe": known, and cannot be trusted for everything. A TPM that the host runs is no hardware of its own. */
  hostProvided: 32,
  unrecognizedHardware: 97,
  approvedExecutables: 3,
  unrecognizedExecutables: 33,
  approvedConfiguration: 2,
  unavailableConfiguration: 36,
} as const

/** When a token of this moment ends; both in milliseconds since 1970. */
export function tokenEnd(now: number): number {
  return (Math.floor(now / 1000) + TOKEN_SECONDS) * 1000
}

export type EarStatus = 'none' | 'affirming' | 'warning' | 'contraindicated'

/** What the registry says at the time of attestation; releases ask it again. */
export interface EarFindings {
  /** A registered guest image that is not withdrawn has this measurement; never so for a TPM. */
  readonly knownMeasurement: boolean
  /** HOST_DATA is a registered current revision. */
  readonly currentWorkload: boolean
  /** The verifier warned of something. */
  readonly degraded: boolean
  /** Transformed `[data]` of the initdata when the Attester sent it. */
  readonly initdataClaims: unknown
  readonly version: string
  /** Milliseconds since 1970. */
  readonly now: number
}

export interface EarClaims {
  readonly [claim: string]: unknown
  /** Seconds since 1970. */
  readonly exp: number
  readonly submods: {
    readonly cpu0: { readonly [member: string]: unknown; readonly 'ear.status': EarStatus }
  }
}

/** The claims of a token for one attested CPU. */
export function earClaims(result: AttestationFindings, findings: EarFindings): EarClaims {
  const { initdataClaims, version, now } = findings
  const vector =
    result.anchors === 'tpm' ? tpmTrustVector(result) : trustVector(result.anchors, findings)
  const status = worstTier(Object.values(vector), findings.degraded ? 'warning' : 'affirming')
  const iat = Math.floor(now / 1000)
  return {
    eat_profile: EAT_PROFILE,
    iat,
    exp: tokenEnd(now) / 1000,
    iss: ISSUER,
    'ear.verifier-id': { developer: 'cloister', build: `cloister-broker ${version}` },
    submods: {
      cpu0: {
        'ear.status': status,
        'ear.trustworthiness-vector': vector,
        'ear.appraisal-policy-id': 'default',
        'cloister.appraisal': result.appraisal,
        'ear.veraison.annotated-evidence': {
          report_data: result.reportData,
          runtime_data_claims: result.runtimeData,
          ...(result.anchors === 'tpm'
            ? tpmEvidenceClaims(result)
            : teeEvidenceClaims(result, initdataClaims)),
        },
      },
    },
  }
}

/** Under which name the claims of each stand; never a simulated TEE's under that of a real one. */
const CLAIMS_MEMBER = {
  amd: 'snp',
  intel: 'tdx',
  simulated: 'sample',
} as const satisfies Record<TeeFindings['anchors'], string>

function teeEvidenceClaims(result: TeeFindings, initdataClaims: unknown) {
  return {
    [CLAIMS_MEMBER[result.anchors]]: result.claims,
    init_data: result.anchors === 'intel' ? result.claims.quote.body.mr_config_id : result.hostData,
    init_data_claims: initdataClaims,
  }
}

/** A TPM holds nothing that the host fixed at launch. */
function tpmEvidenceClaims({ claims }: TpmFindings) {
  return { tpm: claims, init_data_claims: null }
}

function tpmTrustVector({ claims }: TpmFindings) {
  const isSecure = claims.secure_boot === true
  return {
    'instance-identity': TRUST.knownInstance,
    configuration: isSecure ? TRUST.approvedConfiguration : TRUST.unavailableConfiguration,
    executables: TRUST.none,
    'file-system': TRUST.none,
    // INVARIANT: whatever policies said before, a TPM of the host is never genuine hardware.
    hardware: TRUST.hostProvided,
    'runtime-opaque': TRUST.none,
    'storage-opaque': TRUST.none,
    'sourced-data': TRUST.none,
  }
}

function trustVector(
  anchors: TeeFindings['anchors'],
  { knownMeasurement, currentWorkload }: EarFindings,
) {
  return {
    'instance-identity': TRUST.none,
    configuration: currentWorkload ? TRUST.approvedConfiguration : TRUST.unavailableConfiguration,
    executables: knownMeasurement ? TRUST.approvedExecutables : TRUST.unrecognizedExecutables,
    'file-system': TRUST.none,
    // INVARIANT: whatever policies said before, a simulated TEE is never genuine hardware (design, rule 4).
    hardware: anchors === 'simulated' ? TRUST.unrecognizedHardware : TRUST.genuineHardware,
    'runtime-opaque': TRUST.none,
    'storage-opaque': TRUST.none,
    'sourced-data': TRUST.none,
  }
}

const TIERS = ['none', 'affirming', 'warning', 'contraindicated'] as const

function worstTier(values: readonly number[], appraisal: 'affirming' | 'warning'): EarStatus {
  const worst = Math.max(TIERS.indexOf(appraisal), ...values.map(tier))
  return TIERS[worst] as EarStatus
}

/** AR4SI, 2.3.2: the tier of a signed 8-bit claim value, as an index into {@link TIERS}. */
function tier(value: number): number {
  if (value >= -1 && value <= 1) return 0
  if (value >= -32 && value <= 31) return 1
  return value >= -96 && value <= 95 ? 2 : 3
}
