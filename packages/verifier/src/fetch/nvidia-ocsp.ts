/** NVIDIA's OCSP responder: the status of one certificate, asked with a nonce. */
import { equalBytes } from '../bytes/equal.ts'
import { answerAbout, encodeOcspRequest, parseOcspResponse } from '../formats/ocsp.ts'
import { isAnsweredFor } from '../formats/ocsp-verify.ts'
import type { Certificate } from '../formats/x509-certificate.ts'
import { commonName } from '../formats/x509-name.ts'
import type { EndorsementClient } from './endorsement-client.ts'
import { EndorsementFetchError } from './fetch-error.ts'

export const OCSP_ADDRESS = 'https://ocsp.ndis.nvidia.com'

export interface OcspOptions {
  readonly client: EndorsementClient
  /** Absent: NVIDIA's. */
  readonly address?: string | undefined
  readonly signal?: AbortSignal | undefined
}

const NONCE_BYTES = 32
const MAX_BYTES = 64 << 10

/**
 * The response in DER, whatever it says: signed for that issuer, about that certificate, in date. A nonce that comes back must be the one sent; a responder may leave it
 * out, as RFC 6960 allows and NVIDIA's does at times: then the dates alone bound its age.
 *
 * @throws EndorsementFetchError
 */
export async function fetchOcspResponse(
  certificate: Certificate,
  issuer: Certificate,
  { client, address = OCSP_ADDRESS, signal }: OcspOptions,
): Promise<Uint8Array> {
  const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES))
  const { value } = await client.get({
    url: `${address}/`,
    headers: { 'content-type': 'application/ocsp-request' },
    body: await encodeOcspRequest(certificate, issuer, nonce),
    maxBytes: MAX_BYTES,
    freshMs: 0,
    signal,
    read: async (body) => {
      const response = parseOcspResponse(body)
      const answer = await answerAbout(response, certificate, issuer)
      const fresh = response.nonce === undefined || equalBytes(response.nonce, nonce)
      if (answer === undefined || !fresh)
        throw new EndorsementFetchError('fetch.content-mismatch', {
          problem: answer === undefined ? 'another certificate' : 'another nonce',
        })
      if (!(await isAnsweredFor(response, issuer)))
        throw new EndorsementFetchError('fetch.content-unsigned', {
          problem: `for ${commonName(issuer.subject)}`,
        })
      return { value: body, ...(answer.nextUpdate && { expires: answer.nextUpdate }) }
    },
  })
  return value
}
