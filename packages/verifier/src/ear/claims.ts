/** EAT Attestation Results (EAR) as CoCo's Trustee writes them: JWT claims, tiers of AR4SI. */
import { FormatError } from '../bytes/format-error.ts'

export type EarStatus = 'none' | 'affirming' | 'warning' | 'contraindicated'

/** From best to worst. */
export const EAR_STATUSES: readonly EarStatus[] = [
  'none',
  'affirming',
  'warning',
  'contraindicated',
]

export const TRUST_CLAIMS = [
  'instance-identity',
  'configuration',
  'executables',
  'file-system',
  'hardware',
  'runtime-opaque',
  'storage-opaque',
  'sourced-data',
] as const

export type TrustClaim = (typeof TRUST_CLAIMS)[number]

/** Signed 8-bit values; only claims that are set. */
export type TrustVector = Readonly<Partial<Record<TrustClaim, number>>>

/** One appraised device. Further members are policy extensions. */
export interface EarAppraisal {
  readonly 'ear.status': EarStatus
  readonly 'ear.trustworthiness-vector'?: TrustVector
  readonly 'ear.appraisal-policy-id'?: string
  readonly 'ear.veraison.annotated-evidence'?: Readonly<Record<string, unknown>>
  readonly [extension: string]: unknown
}

export interface EarClaims {
  readonly eat_profile: string
  /** Seconds since 1970. */
  readonly iat: number
  readonly exp?: number
  readonly iss?: string
  readonly 'ear.verifier-id': { readonly developer: string; readonly build: string }
  /** By device: `cpu0`, `gpu0`, … */
  readonly submods: Readonly<Record<string, EarAppraisal>>
  readonly [other: string]: unknown
}

export const TRUSTEE_PROFILE = 'tag:github.com,2024:confidential-containers/Trustee'

const MAX_SUBMODS = 64

/** Tier of one trustworthiness value. @throws RangeError for a number outside of -128..127 */
export function tierOf(value: number): EarStatus {
  if (!Number.isInteger(value) || value < -128 || value > 127)
    throw new RangeError(`${value} is not a trustworthiness value`)
  if (value >= -1 && value <= 1) return 'none'
  if (value >= -32 && value <= 31) return 'affirming'
  return value >= -96 && value <= 95 ? 'warning' : 'contraindicated'
}

/** The worst tier of the claims that are set; `none` for an empty vector. */
export function statusOf(vector: TrustVector): EarStatus {
  const tiers = Object.values(vector).map((value) => EAR_STATUSES.indexOf(tierOf(value)))
  return EAR_STATUSES[Math.max(0, ...tiers)] as EarStatus
}

/** Checks the shape of claims from outside. @throws FormatError */
export function readEarClaims(value: unknown): EarClaims {
  const claims = record('claims', value)
  text('eat_profile', claims['eat_profile'])
  seconds('iat', claims['iat'])
  if (claims['exp'] !== undefined) seconds('exp', claims['exp'])
  if (claims['nbf'] !== undefined) seconds('nbf', claims['nbf'])
  if (claims['iss'] !== undefined) text('iss', claims['iss'])
  const verifier = record('ear.verifier-id', claims['ear.verifier-id'])
  text('developer', verifier['developer'])
  text('build', verifier['build'])
  const submods = Object.entries(record('submods', claims['submods']))
  if (submods.length === 0 || submods.length > MAX_SUBMODS) fail('submods', 'none or too many')
  for (const [name, submod] of submods) readAppraisal(name, submod)
  return claims as unknown as EarClaims
}

function readAppraisal(name: string, value: unknown): void {
  const submod = record(name, value)
  const status = submod['ear.status']
  if (!EAR_STATUSES.includes(status as EarStatus)) fail('ear.status', 'unknown')
  const policy = submod['ear.appraisal-policy-id']
  if (policy !== undefined) text('ear.appraisal-policy-id', policy)
  const evidence = submod['ear.veraison.annotated-evidence']
  if (evidence !== undefined) record('ear.veraison.annotated-evidence', evidence)
  const vector = submod['ear.trustworthiness-vector']
  if (vector === undefined) return
  const known: readonly string[] = TRUST_CLAIMS
  for (const [claim, level] of Object.entries(record('ear.trustworthiness-vector', vector))) {
    if (!known.includes(claim)) fail('ear.trustworthiness-vector', 'unknown claim')
    if (!Number.isInteger(level) || (level as number) < -128 || (level as number) > 127)
      fail(claim, 'not a signed 8-bit number')
  }
  // A status better than its own vector would be a lie of the signer; a worse one is its right.
  const least = EAR_STATUSES.indexOf(statusOf(vector as TrustVector))
  if (EAR_STATUSES.indexOf(status as EarStatus) < least)
    fail('ear.status', 'better than its vector')
}

function record(field: string, value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return fail(field, 'not an object')
  return value as Record<string, unknown>
}

function text(field: string, value: unknown): void {
  if (typeof value !== 'string') fail(field, 'not text')
}

function seconds(field: string, value: unknown): void {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
    fail(field, 'not a time in seconds')
}

function fail(field: string, problem: string): never {
  throw new FormatError('EAR', field, 0, problem)
}
