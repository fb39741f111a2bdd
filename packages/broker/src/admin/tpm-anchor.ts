/** A CA of EK certificates as the owner brings it. */
import type { PutTpmAnchorSchema, TpmAnchorList } from '@cloister/protocol/broker-admin-api'
import { CloisterError } from '@cloister/protocol/error'
import { FormatError } from '@cloister/verifier/bytes/format-error'
import { parseCertificate } from '@cloister/verifier/formats/x509-certificate'
import { basicConstraints } from '@cloister/verifier/formats/x509-extensions'
import { commonName } from '@cloister/verifier/formats/x509-name'
import { createHash } from 'node:crypto'
import type { z } from 'zod'
import type { PinnedTpmAnchor } from '../storage/trust-settings.ts'
import type { TpmAnchor } from '../tpm/endorsement-key.ts'

/** @throws CloisterError `request.malformed` when one of them is no certificate of a CA */
export function newTpmAnchor({
  certificate,
  intermediates,
}: z.infer<typeof PutTpmAnchorSchema>): TpmAnchor {
  const der = caCertificate(certificate, 'certificate')
  return {
    fingerprint: createHash('sha256').update(der).digest('hex'),
    certificate: der,
    intermediates: intermediates.map((text) => caCertificate(text, 'intermediates')),
  }
}

export function describeTpmAnchor({
  fingerprint,
  certificate,
  pinnedAt,
}: PinnedTpmAnchor): TpmAnchorList['anchors'][number] {
  const subject = commonName(parseCertificate(certificate).subject) ?? ''
  return { fingerprint, subject: subject.slice(0, 200), pinnedAt }
}

function caCertificate(base64: string, where: string): Uint8Array {
  const der = Buffer.from(base64, 'base64')
  try {
    if (basicConstraints(parseCertificate(der))?.ca === true) return der
    throw new CloisterError('request.malformed', {
      where,
      why: 'it is not the certificate of a CA',
    })
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause
    throw new CloisterError('request.malformed', { where, why: cause.message, cause })
  }
}
