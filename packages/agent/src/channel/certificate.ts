/** The certificate in which the guest shows its channel key. Whoever connects compares the key with evidence; nothing else in it counts. */
import { randomBytes } from 'node:crypto'
import { encodePem } from '@cloister/verifier/formats/pem'
import { issueCertificate } from '@cloister/verifier/formats/x509-issue'
import { NAME_OID } from '@cloister/verifier/formats/x509-name'
import { keySigner } from '@cloister/verifier/node/key-signer'
import type { GuestKey } from '../keys.ts'

const NAME = [{ oid: NAME_OID.commonName, value: 'cloister guest' }] as const
const VALID_MS = 10 * 365 * 86_400_000

/** @param epoch - the image's build time, seconds since 1970: by no honest clock is the certificate from the future */
export function channelCertificate(key: GuestKey, epoch: number): string {
  const notBefore = new Date(epoch * 1000)
  const der = issueCertificate(
    {
      serial: Uint8Array.of(1, ...randomBytes(15)),
      issuer: NAME,
      subject: NAME,
      notBefore,
      notAfter: new Date(notBefore.getTime() + VALID_MS),
      spki: key.spki,
    },
    keySigner(key.privateKey),
  )
  return encodePem('CERTIFICATE', der)
}
