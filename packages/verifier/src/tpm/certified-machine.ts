/**
 * What a broker of ours writes into the certificate of an attestation key: for which TPM credential activation was shown. The common name is the SHA-256 of
 * the EK certificate, the organizational unit that of the CA which vouched for it, both of DER in hex.
 */
import { parseCertificate } from '../formats/x509-certificate.ts'
import { NAME_OID, commonName, nameValues } from '../formats/x509-name.ts'
import type { NameAttribute } from '../formats/x509-name.ts'

export interface CertifiedMachine {
  /** SHA-256 of the EK certificate's DER, hex. */
  readonly endorsementKey: string
  /** SHA-256 of the CA's certificate that vouched for it, hex. */
  readonly anchor: string
}

/** The subject of such a certificate. */
export function machineSubject({ endorsementKey, anchor }: CertifiedMachine): NameAttribute[] {
  return [
    { oid: NAME_OID.organizationalUnit, value: anchor },
    { oid: NAME_OID.commonName, value: endorsementKey },
  ]
}

/**
 * @param certificate - DER; believed only under the broker's own CA
 * @returns undefined when it is none that a broker of ours issues
 * @throws FormatError
 */
export function readCertifiedMachine(certificate: Uint8Array): CertifiedMachine | undefined {
  const { subject } = parseCertificate(certificate)
  const endorsementKey = commonName(subject)
  const [anchor] = nameValues(subject, NAME_OID.organizationalUnit)
  return endorsementKey === undefined || anchor === undefined
    ? undefined
    : { endorsementKey, anchor }
}
