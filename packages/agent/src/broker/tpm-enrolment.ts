/**
 * Gets this TPM's attestation key certified by the broker: it encrypts a secret to the endorsement key, which the TPM opens only for a key that is in
 * it too (`protocol/tpm-enrolment`).
 */
import { CloisterError } from '@cloister/protocol/error'
import { KbsErrorSchema, readKbsError } from '@cloister/protocol/kbs'
import {
  TPM_ENROLMENT_PATH,
  TpmCertificateSchema,
  TpmChallengeSchema,
  type TpmCertificateRequest,
  type TpmChallengeRequest,
} from '@cloister/protocol/tpm-enrolment'
import type { z } from 'zod'
import type { VtpmAttester } from '../attesters/vtpm.ts'
import type { BrokerAddress, KbsClientOptions } from './kbs-client.ts'

/** Before its end a certificate is renewed. */
const MARGIN_MS = 3_600_000
const REQUEST_TIMEOUT_MS = 30_000

/** What a {@link KbsClient} needs to attest by a TPM. @param now - milliseconds since 1970 */
export function tpmEnrolment(
  attester: VtpmAttester,
  now: () => number,
): Required<Pick<KbsClientOptions, 'prepare' | 'onRefused'>> {
  let goodUntil = 0
  const prepare = async (broker: BrokerAddress, signal: AbortSignal) => {
    if (now() < goodUntil) return
    const { endorsementCertificate, attestationKey } = await attester.identity()
    if (endorsementCertificate === undefined)
      throw new CloisterError('agent.tpm-uncertified', { where: 'NV index 0x1c00002' })
    const request: TpmChallengeRequest = {
      'ek-certificate': base64(endorsementCertificate),
      'ak-public': base64(attestationKey),
    }
    const challenge = await ask(broker, 'challenge', request, TpmChallengeSchema, signal)
    const secret = await attester.activate({
      credential: Buffer.from(challenge.credential, 'base64'),
      secret: Buffer.from(challenge.secret, 'base64'),
    })
    const proof: TpmCertificateRequest = { id: challenge.id, secret: base64(secret) }
    const issued = await ask(broker, 'certificate', proof, TpmCertificateSchema, signal)
    attester.certify(Buffer.from(issued.certificate, 'base64'))
    goodUntil = issued.expiresAt - MARGIN_MS
  }
  // A broker that was set up anew has another CA: the next try enrols again.
  return { prepare, onRefused: () => (goodUntil = 0) }
}

async function ask<Shape extends z.ZodType>(
  { exchange, path, host }: BrokerAddress,
  step: keyof typeof TPM_ENROLMENT_PATH,
  request: object,
  schema: Shape,
  signal: AbortSignal,
): Promise<z.infer<Shape>> {
  const { status, body } = await exchange({
    method: 'POST',
    path: `${path}${TPM_ENROLMENT_PATH[step]}`,
    headers: { host, accept: 'application/json' },
    body: JSON.stringify(request),
    signal: AbortSignal.any([signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]),
  })
  if (status >= 500 || status === 429)
    throw new CloisterError('agent.broker-unreachable', { why: `status ${status}` })
  const answer = json(body)
  if (status !== 200) throw refusal(answer)
  const parsed = schema.safeParse(answer)
  if (!parsed.success)
    throw new CloisterError('agent.broker-malformed', { where: TPM_ENROLMENT_PATH[step] })
  return parsed.data
}

function refusal(answer: unknown): CloisterError {
  const error = KbsErrorSchema.safeParse(answer)
  const { code, requestId } = error.success ? readKbsError(error.data) : {}
  return new CloisterError('agent.enrolment-refused', {
    ...(code !== undefined && { received: code }),
    ...(requestId !== undefined && { requestId }),
  })
}

function json(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'))
  } catch (cause) {
    throw new CloisterError('agent.broker-malformed', { why: 'the answer is not JSON', cause })
  }
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64')
}
