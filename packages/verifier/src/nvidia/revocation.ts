/** What NVIDIA's OCSP responder said of the certificates of a chain. */
import { FormatError } from '../bytes/format-error.ts'
import { answerAbout, parseOcspResponse } from '../formats/ocsp.ts'
import type { OcspAnswer, OcspResponse } from '../formats/ocsp.ts'
import { isAnsweredFor } from '../formats/ocsp-verify.ts'
import type { Certificate } from '../formats/x509-certificate.ts'
import { commonName } from '../formats/x509-name.ts'
import type { CheckSink } from '../result/check.ts'
import type { NvidiaCheckCode } from './check-codes.ts'

type Checks = CheckSink<NvidiaCheckCode>

/** CRLReason of RFC 5280: a recalled build, which may come back. */
const CERTIFICATE_HOLD = 6
const MAX_RESPONSES = 256

export interface RevocationRequest {
  readonly responses: readonly OcspResponse[]
  readonly now: Date
  /** Whether a certificate without an answer leaves the Evidence undecided. */
  readonly required: boolean
  readonly allowCertificateHold: boolean
}

/** Those that can be read; a failed check for each other. */
export function readOcspResponses(
  inputs: readonly Uint8Array[],
  checks: Checks,
): readonly OcspResponse[] {
  if (inputs.length > MAX_RESPONSES)
    checks.add('nvidia.revocation.malformed', 'fail', { received: `${inputs.length} responses` })
  return inputs.slice(0, MAX_RESPONSES).flatMap((input) => {
    try {
      return [parseOcspResponse(input)]
    } catch (error) {
      if (!(error instanceof FormatError)) throw error
      checks.add('nvidia.revocation.malformed', 'fail', { received: error.message })
      return []
    }
  })
}

/** @param chain - leaf first, root last. @param from - place of the first certificate to look up: nobody answers for a device's leaf, which each boot makes anew */
export async function checkRevocation(
  chain: readonly Certificate[],
  from: number,
  request: RevocationRequest,
  checks: Checks,
): Promise<void> {
  for (let at = from; at < chain.length - 1; at++) {
    const certificate = chain[at] as Certificate
    await checkCertificate(certificate, chain[at + 1] as Certificate, request, checks)
  }
}

async function checkCertificate(
  certificate: Certificate,
  issuer: Certificate,
  request: RevocationRequest,
  checks: Checks,
): Promise<void> {
  const where = commonName(certificate.subject)
  const found = await latestAnswer(certificate, issuer, request.responses)
  if (found === undefined) {
    const outcome = request.required ? 'undecided' : 'not-checked'
    checks.add('nvidia.revocation.missing', outcome, { where })
    return
  }
  checks.add('nvidia.revocation.missing', 'pass', { where })
  const answered = await isAnsweredFor(found.response, issuer)
  if (!checks.require('nvidia.revocation.signature-invalid', answered, { where })) return
  checkWindow(found.answer, request.now, where, checks)
  checkStatus(found.answer, request, where, checks)
}

async function latestAnswer(
  certificate: Certificate,
  issuer: Certificate,
  responses: readonly OcspResponse[],
): Promise<{ readonly response: OcspResponse; readonly answer: OcspAnswer } | undefined> {
  let latest: { readonly response: OcspResponse; readonly answer: OcspAnswer } | undefined
  for (const response of responses) {
    const answer = await answerAbout(response, certificate, issuer)
    if (answer !== undefined && !(latest && latest.answer.thisUpdate >= answer.thisUpdate))
      latest = { response, answer }
  }
  return latest
}

/** An answer without an end is worth nothing after the instant at which it was given. */
function checkWindow(
  { thisUpdate, nextUpdate = thisUpdate }: OcspAnswer,
  now: Date,
  where: string | undefined,
  checks: Checks,
): void {
  const received = now.toISOString()
  checks.require('nvidia.revocation.not-yet-valid', thisUpdate <= now, {
    expected: `from ${thisUpdate.toISOString()}`,
    received,
    where,
  })
  checks.add('nvidia.revocation.expired', now <= nextUpdate ? 'pass' : 'undecided', {
    expected: `until ${nextUpdate.toISOString()}`,
    received,
    where,
  })
}

function checkStatus(
  { status }: OcspAnswer,
  { allowCertificateHold }: RevocationRequest,
  where: string | undefined,
  checks: Checks,
): void {
  switch (status.kind) {
    case 'good':
      checks.add('nvidia.revocation.revoked', 'pass', { where })
      return
    case 'unknown':
      checks.add('nvidia.revocation.unknown', 'fail', { where })
      return
    case 'revoked': {
      const received = `reason ${status.reason ?? 'not said'}, at ${status.at.toISOString()}`
      const held = status.reason === CERTIFICATE_HOLD
      const code = held ? 'nvidia.revocation.on-hold' : 'nvidia.revocation.revoked'
      checks.add(code, held && allowCertificateHold ? 'warning' : 'fail', { received, where })
      return
    }
    default:
      status satisfies never
  }
}
