/** The two steps of credential activation, each with its reasons in the audit; the guest only learns that it was refused. */
import { FormatError } from '@cloister/verifier/bytes/format-error'
import { isAttestationKey, parseTpmPublicArea, tpmName } from '@cloister/verifier/tpm/public-area'
import type { TpmPublicArea } from '@cloister/verifier/tpm/public-area'
import { readAttestationKey } from '@cloister/verifier/tpm/verify'
import { CloisterError } from '@cloister/protocol/error'
import type { EnrolmentCheckCode } from '@cloister/protocol/errors/broker'
import type {
  TpmCertificate,
  TpmCertificateRequest,
  TpmChallenge,
  TpmChallengeRequest,
} from '@cloister/protocol/tpm-enrolment'
import type { Requester } from '../kbs/requester.ts'
import type { BrokerParts } from '../parts.ts'
import { CERTIFICATE_MS } from './attestation-authority.ts'
import { judgeEndorsementKey } from './endorsement-key.ts'
import { isSecretOf } from './enrolments.ts'
import { makeCredential } from '@cloister/verifier/node/make-credential'

const bytes = (base64: string): Uint8Array => new Uint8Array(Buffer.from(base64, 'base64'))
const SHA1 = 0x0004

/** @throws CloisterError `tpm.enrolment-refused` */
export async function challengeTpm(
  parts: BrokerParts,
  request: TpmChallengeRequest,
  from: Requester,
): Promise<TpmChallenge> {
  const now = parts.now()
  const endorsementKey = await judgeEndorsementKey(
    bytes(request['ek-certificate']),
    parts.trust.tpmAnchors(),
    new Date(now),
  )
  if (typeof endorsementKey === 'string') throw refused(parts, from, endorsementKey)
  const { fingerprint } = endorsementKey
  const attestationKey = await readKey(bytes(request['ak-public']))
  if (attestationKey === undefined) throw refused(parts, from, 'tpm.enrolment.key', fingerprint)
  const { id, secret } = parts.enrolments.open(
    { endorsementKey, attestationKey: attestationKey.spki },
    now,
  )
  const name = await tpmName(attestationKey)
  const made = makeCredential({ endorsementKey: endorsementKey.spki, name, secret })
  return {
    id,
    credential: made.credential.toString('base64'),
    secret: made.secret.toString('base64'),
  }
}

/** @throws CloisterError `tpm.enrolment-refused` */
export function certifyTpm(
  parts: BrokerParts,
  { id, secret }: TpmCertificateRequest,
  from: Requester,
): TpmCertificate {
  const now = parts.now()
  const enrolment = parts.enrolments.claim(id, now)
  if (enrolment === undefined) throw refused(parts, from, 'tpm.enrolment.unknown')
  const { endorsementKey, attestationKey } = enrolment
  const { fingerprint, anchor } = endorsementKey
  if (!isSecretOf(enrolment, bytes(secret)))
    throw refused(parts, from, 'tpm.enrolment.secret', fingerprint)
  // The owner may have removed the CA between the two steps.
  if (!parts.trust.tpmAnchors().some((pinned) => pinned.fingerprint === anchor))
    throw refused(parts, from, 'tpm.ek.untrusted-root', fingerprint)
  parts.audit.append({
    time: now,
    requestId: from.requestId,
    kind: 'enrolment',
    outcome: 'allowed',
    subject: fingerprint,
    checks: [{ code: 'tpm.enrolment.secret', outcome: 'pass' }],
  })
  const certificate = parts.attestationAuthority.issue(attestationKey, endorsementKey, now)
  return {
    certificate: Buffer.from(certificate).toString('base64'),
    expiresAt: now + CERTIFICATE_MS,
  }
}

/** Undefined for anything but a key that signs only what its TPM made, and cannot leave it. */
async function readKey(publicArea: Uint8Array): Promise<TpmPublicArea | undefined> {
  try {
    const area = parseTpmPublicArea(publicArea)
    const key = await readAttestationKey(area.spki, IGNORED_CHECKS)
    return key !== undefined && isAttestationKey(area) && area.nameHash !== SHA1 ? area : undefined
  } catch (error) {
    if (error instanceof FormatError) return undefined
    throw error
  }
}

/** Whether there is a key is all that counts here. */
const IGNORED_CHECKS = { add: () => undefined, require: () => false }

function refused(
  parts: BrokerParts,
  { requestId, address }: Requester,
  code: EnrolmentCheckCode,
  subject?: string,
): CloisterError {
  parts.strangers.append(address, {
    time: parts.now(),
    requestId,
    kind: 'enrolment',
    outcome: 'refused',
    code,
    ...(subject !== undefined && { subject }),
    checks: [{ code, outcome: 'fail' }],
  })
  return new CloisterError('tpm.enrolment-refused', { requestId })
}
