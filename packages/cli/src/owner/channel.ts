/** The owner's side of `connect`: TLS through the host to the guest whose channel key was verified. */
import type { Duplex } from 'node:stream'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { CloisterError } from '@cloister/protocol/error'
import { peerKeyDigest } from './peer-key-digest.ts'

const HANDSHAKE_MS = 20_000

/**
 * @param carrier - bytes to the guest's `channel`, through the host
 * @param channelKeyDigest - SHA-256 of the SPKI in the verified evidence, hex
 * @throws CloisterError `channel.key-mismatch`, `channel.failed`
 */
export async function openChannel(
  carrier: Duplex,
  channelKeyDigest: string,
  guestPort: number,
): Promise<TLSSocket> {
  const { promise, resolve, reject } = Promise.withResolvers<TLSSocket>()
  const socket = connectTls({
    socket: carrier,
    // The guest's certificate is its own; what counts is the key, compared below before a byte is sent.
    rejectUnauthorized: false,
    minVersion: 'TLSv1.3',
    ALPNProtocols: ['cloister-connect/1'],
  })
  const timer = setTimeout(() => {
    socket.destroy(new CloisterError('channel.failed', { why: 'no TLS handshake in 20 s' }))
  }, HANDSHAKE_MS)
  socket.once('error', (cause) => {
    reject(cause instanceof CloisterError ? cause : new CloisterError('channel.failed', { cause }))
  })
  socket.once('close', () => {
    reject(new CloisterError('channel.failed'))
  })
  socket.once('secureConnect', () => {
    const received = peerKeyDigest(socket) ?? 'no certificate'
    if (received === channelKeyDigest) {
      socket.write(`${guestPort}\n`)
      resolve(socket)
      return
    }
    socket.destroy(
      new CloisterError('channel.key-mismatch', { expected: channelKeyDigest, received }),
    )
  })
  return await promise.finally(() => {
    clearTimeout(timer)
  })
}
