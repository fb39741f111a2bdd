/** The owner's side of `connect`: TLS through the host to the guest whose channel key was verified. */
import type { Duplex } from 'node:stream'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { CloisterError } from '@cloister/protocol/error'
import { peerKeyDigest } from './peer-key-digest.ts'

/** More than hostd gives the guest, whose error says more. */
const OPENING_MS = 40_000

/**
 * @param openCarrier - gives bytes to the guest's `channel`, through the host
 * @param channelKeyDigest - SHA-256 of the SPKI in the verified evidence, hex
 * @param options.openingMs - for carrier and TLS together; absent: 40 s
 * @throws CloisterError `channel.key-mismatch`, `channel.failed`, those of `openCarrier`
 */
export async function openChannel(
  openCarrier: (signal: AbortSignal) => Promise<Duplex>,
  channelKeyDigest: string,
  guestPort: number,
  { openingMs = OPENING_MS, signal }: { openingMs?: number; signal?: AbortSignal } = {},
): Promise<TLSSocket> {
  const late = new AbortController()
  const timer = setTimeout(() => {
    late.abort(new CloisterError('channel.failed', { why: `no channel in ${openingMs / 1000} s` }))
  }, openingMs)
  const either = signal === undefined ? late.signal : AbortSignal.any([signal, late.signal])
  try {
    const socket = await joinTls(await openCarrier(either), either)
    const received = peerKeyDigest(socket) ?? 'no certificate'
    if (received !== channelKeyDigest) {
      socket.destroy()
      throw new CloisterError('channel.key-mismatch', { expected: channelKeyDigest, received })
    }
    socket.write(`${guestPort}\n`)
    return socket
  } finally {
    clearTimeout(timer)
  }
}

async function joinTls(carrier: Duplex, signal: AbortSignal): Promise<TLSSocket> {
  const { promise, resolve, reject } = Promise.withResolvers<TLSSocket>()
  const socket = connectTls({
    socket: carrier,
    // The guest's certificate is its own; what counts is the key, which is compared before a byte is sent.
    rejectUnauthorized: false,
    minVersion: 'TLSv1.3',
    ALPNProtocols: ['cloister-connect/1'],
  })
  const giveUp = () => socket.destroy(signal.reason as Error)
  signal.addEventListener('abort', giveUp, { once: true })
  socket.once('error', (cause) => {
    reject(cause instanceof CloisterError ? cause : new CloisterError('channel.failed', { cause }))
  })
  socket.once('close', () => {
    carrier.destroy()
    reject(new CloisterError('channel.failed'))
  })
  socket.once('secureConnect', () => resolve(socket))
  return await promise.finally(() => signal.removeEventListener('abort', giveUp))
}
