/** Who answered: the issuer of the certificate itself, or a responder that the issuer made for that purpose (RFC 6960 section 4.2.2.2). */
import { FormatError } from '../bytes/format-error.ts'
import { OCSP_OID } from './ocsp.ts'
import type { OcspResponse } from './ocsp.ts'
import type { Certificate } from './x509-certificate.ts'
import { EXTENSION_OID, KEY_USAGE, extendedKeyUsage, keyUsage } from './x509-extensions.ts'
import { isSignedBy } from './x509-verify.ts'

const UNDERSTOOD: ReadonlySet<string> = new Set([
  EXTENSION_OID.basicConstraints,
  EXTENSION_OID.keyUsage,
  EXTENSION_OID.extendedKeyUsage,
])

/** Whether the response counts for certificates of that issuer. The responder must be in date when it answered; its own revocation is not asked for. */
export async function isAnsweredFor(response: OcspResponse, issuer: Certificate): Promise<boolean> {
  if (await isSignedBy(response, issuer)) return true
  for (const responder of response.certificates)
    if (
      mayAnswer(responder, response.producedAt) &&
      (await isSignedBy(responder, issuer)) &&
      (await isSignedBy(response, responder))
    )
      return true
  return false
}

function mayAnswer(responder: Certificate, at: Date): boolean {
  const { notBefore, notAfter, extensions } = responder
  if (at < notBefore || notAfter < at) return false
  if (extensions.some(({ critical, oid }) => critical && !UNDERSTOOD.has(oid))) return false
  try {
    const purposes = extendedKeyUsage(responder) ?? []
    return (
      purposes.includes(OCSP_OID.signing) &&
      keyUsage(responder)?.has(KEY_USAGE.digitalSignature) === true
    )
  } catch (error) {
    if (error instanceof FormatError) return false
    throw error
  }
}
