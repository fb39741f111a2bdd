import { createHash } from 'node:crypto'
import type { TLSSocket } from 'node:tls'

/** SHA-256 of the peer's SubjectPublicKeyInfo (DER), hex; absent when the peer showed no certificate. */
export function peerKeyDigest(socket: TLSSocket): string | undefined {
  const spki = socket.getPeerX509Certificate()?.publicKey.export({ type: 'spki', format: 'der' })
  return spki && createHash('sha256').update(spki).digest('hex')
}
