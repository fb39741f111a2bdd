/** The certificate of a CA that vouches for TPMs, as somebody saved it. */
import { createHash } from 'node:crypto'
import { CloisterError } from '@cloister/protocol/error'
import { FormatError } from '@cloister/verifier/bytes/format-error'
import { toDer } from '@cloister/verifier/formats/pem'
import { parseCertificate } from '@cloister/verifier/formats/x509-certificate'
import { commonName } from '@cloister/verifier/formats/x509-name'

export interface TpmAuthority {
  /** DER. */
  readonly certificate: Uint8Array
  readonly intermediates: readonly Uint8Array[]
  /** SHA-256 of the DER, hex. */
  readonly fingerprint: string
  readonly subject: string
}

/**
 * @param file - PEM of one or several certificates, or DER of one
 * @param fingerprint - which of them is the anchor; absent: the root, or the only one
 * @throws CloisterError `owner.tpm-ca`
 */
export function tpmAuthority(file: Uint8Array, fingerprint?: string): TpmAuthority {
  const wanted = fingerprint?.toLowerCase().replaceAll(':', '')
  const all = parseAll(file)
  const isAnchor = ({ digest, isRoot }: (typeof all)[number]) =>
    wanted === undefined ? isRoot || all.length === 1 : digest === wanted
  const anchors = all.filter(isAnchor)
  const [anchor] = anchors
  if (anchor === undefined || anchors.length > 1)
    throw new CloisterError('owner.tpm-ca', {
      expected: wanted ?? 'one root, or one certificate',
      received: all.map(({ digest }) => digest).join(' ') || 'no certificate',
    })
  return {
    certificate: anchor.der,
    intermediates: all.filter((entry) => entry !== anchor).map(({ der }) => der),
    fingerprint: anchor.digest,
    subject: anchor.subject,
  }
}

function parseAll(file: Uint8Array) {
  try {
    return toDer([file]).map((der) => {
      const { subject, issuer } = parseCertificate(der)
      return {
        der,
        digest: createHash('sha256').update(der).digest('hex'),
        isRoot: Buffer.compare(subject.raw, issuer.raw) === 0,
        subject: commonName(subject) ?? '(no common name)',
      }
    })
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause
    throw new CloisterError('owner.tpm-ca', { why: cause.message, cause })
  }
}
