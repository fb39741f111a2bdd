/**
 * Failures as guests see them: the KBS error object with a code and a request id. What failed exactly stands in the audit; a
 * guest, and the host that carries its bytes, cannot tell an absent secret from one it may not have (design, rule 5).
 */
import { CloisterError } from '@cloister/protocol/error'
import type { ErrorCode } from '@cloister/protocol/errors/catalogue'
import { kbsError, type KbsError, type KbsErrorVariant } from '@cloister/protocol/kbs'

/** A step of the guests' side, and the words of upstream for its failure. */
export type KbsStep = 'auth' | 'attest' | 'enrolment' | 'resource' | 'refusal' | 'admin'

interface Wording {
  readonly variant: KbsErrorVariant
  readonly text: string
}

const STEPS: Readonly<Record<KbsStep, Wording>> = {
  auth: { variant: 'AttestationError', text: 'Attestation error: RCAR handshake Auth failed' },
  attest: { variant: 'AttestationError', text: 'Attestation error: RCAR handshake Attest failed' },
  enrolment: { variant: 'AttestationError', text: 'Attestation error: TPM enrolment failed' },
  resource: { variant: 'PluginInternalError', text: 'Plugin internal error' },
  refusal: { variant: 'PluginInternalError', text: 'Plugin internal error' },
  admin: {
    variant: 'AdminAuthInitialization',
    text: 'failed to initialize [admin] configuration: Cannot verify token with any of the issuers',
  },
}

const BY_CODE: Partial<Record<ErrorCode, Wording>> = {
  'release.refused': { variant: 'PolicyDeny', text: 'Access denied by policy' },
  'kbs.token': { variant: 'TokenVerifierError', text: 'Token Verifier error' },
  'kbs.path': { variant: 'InvalidRequestPath', text: 'Request path is invalid' },
  'kbs.plugin': { variant: 'PluginNotFound', text: 'Plugin not found' },
  'kbs.token-absent': { variant: 'TokenNotFound', text: 'Attestation Token not found' },
}

/** Codes that keep their own status; all others are 401, which clients answer by attesting anew. */
const OWN_STATUS: ReadonlySet<ErrorCode> = new Set([
  'kbs.path',
  'kbs.plugin',
  'broker.body-too-large',
  'broker.busy',
  'internal.bug',
  'broker.storage',
])

export interface KbsAnswer {
  readonly status: number
  readonly body: KbsError
}

export function kbsAnswer(error: CloisterError, step: KbsStep, requestId: string): KbsAnswer {
  const { variant, text } = BY_CODE[error.code] ?? STEPS[step]
  const status = OWN_STATUS.has(error.code) ? error.toJSON().status : 401
  const words = error.code === 'kbs.version' ? `${text}: ${versionText(error)}` : text
  return { status, body: kbsError(variant, words, error.code, requestId) }
}

/** Upstream's clients and tests look for these words. */
function versionText({ details }: CloisterError): string {
  return `KBS Client Protocol Version Mismatch: expect =${details.expected} while the request is ${details.received}`
}
