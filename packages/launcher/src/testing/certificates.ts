/** Certificates for tests. */
import { generateKeyPairSync } from 'node:crypto'
import { issueCertificate } from '@cloister/verifier/formats/x509-issue'
import { NAME_OID } from '@cloister/verifier/formats/x509-name'
import { keySigner, spkiOf } from '@cloister/verifier/node/key-signer'

/** A self-signed certificate of a new P-256 key. */
export function selfSigned(commonName: string): { readonly certificate: Uint8Array } {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const name = [{ oid: NAME_OID.commonName, value: commonName }]
  const certificate = issueCertificate(
    {
      serial: 1,
      issuer: name,
      subject: name,
      notBefore: new Date('2020-01-01T00:00:00Z'),
      notAfter: new Date('2040-01-01T00:00:00Z'),
      spki: spkiOf(privateKey),
    },
    keySigner(privateKey),
  )
  return { certificate }
}
