/**
 * TLS to the broker: the peer is whoever holds one of the pinned keys. Names and dates of its certificate mean nothing, system roots
 * are not asked, and not a byte is sent before the key was compared.
 */
import { createHash, X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls'
import { CloisterError } from '@cloister/protocol/error'

export interface PinnedTlsOptions {
  /** SHA-256 of the DER SubjectPublicKeyInfo, hex, of the keys that the peer may have. */
  readonly spki: readonly string[]
  /** For SNI. */
  readonly serverName: string
  readonly signal: AbortSignal
}

let context: SecureContext | undefined

/**
 * The same for each connection, for it holds nothing of a peer. Whoever waits for something else can have it made meanwhile: it is what takes longest
 * of a first connection.
 */
export function pinnedContext(): SecureContext {
  // No roots: without this Node would first read all public ones, which costs more than the handshake.
  context ??= createSecureContext({ ca: [], minVersion: 'TLSv1.3' })
  return context
}

/** @throws CloisterError `agent.broker-untrusted`, `agent.broker-unreachable`; the signal's reason */
export async function connectPinned(stream: Duplex, options: PinnedTlsOptions): Promise<TLSSocket> {
  const { spki, serverName, signal } = options
  signal.throwIfAborted()
  const socket = connect({
    socket: stream,
    // RFC 6066: no addresses.
    ...(isIP(serverName) === 0 && { servername: serverName }),
    ALPNProtocols: ['http/1.1'],
    secureContext: pinnedContext(),
    // The pin below is the check; the handshake proves that the peer holds the key.
    rejectUnauthorized: false,
  })
  const ready = Promise.withResolvers<void>()
  const unreachable = (cause?: unknown) =>
    ready.reject(new CloisterError('agent.broker-unreachable', { where: 'TLS', cause }))
  const onAbort = () => ready.reject(signal.reason as Error)
  socket.once('secureConnect', () => ready.resolve())
  // Stays: later errors reach whoever uses the socket by its close.
  socket.on('error', unreachable)
  socket.once('close', unreachable)
  stream.on('error', unreachable)
  signal.addEventListener('abort', onAbort)
  try {
    await ready.promise
    checkPin(socket, spki)
    return socket
  } catch (error) {
    socket.destroy()
    stream.destroy()
    throw error
  } finally {
    signal.removeEventListener('abort', onAbort)
    socket.off('close', unreachable)
  }
}

function checkPin(socket: TLSSocket, spki: readonly string[]): void {
  const { raw } = socket.getPeerCertificate()
  const received =
    raw === undefined
      ? 'no certificate'
      : createHash('sha256')
          .update(new X509Certificate(raw).publicKey.export({ type: 'spki', format: 'der' }))
          .digest('hex')
  if (!spki.includes(received))
    throw new CloisterError('agent.broker-untrusted', { expected: spki.join(' or '), received })
}
