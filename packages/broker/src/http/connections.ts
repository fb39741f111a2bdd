/**
 * Connections, bounded in number and, for each address, in how fast they come: a TLS handshake is the dearest thing that a stranger can have done for him. Where there are too many, the
 * oldest of the address with most is closed for the new one: so who opens all that he can, or says nothing on them, keeps nobody out but himself.
 */
import type { Server, Socket } from 'node:net'
import type { BrokerLimits } from '../limits.ts'
import { Shares } from '../shares.ts'
import { isLoopback, networkOf } from './network-of.ts'
import { RateLimit } from './rate-limit.ts'

interface ConnectionBounds {
  readonly limits: Pick<
    BrokerLimits,
    'connections' | 'connectionBurst' | 'connectionsPerSecond' | 'addresses'
  >
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** Told of each that comes too soon after others of its address. */
  readonly onRefused: () => void
}

/**
 * To be called before the server listens: a connection comes to its own listeners, and to TLS, only when it is counted.
 *
 * @returns closes all that are open, those too that have not come to an end of their TLS handshake, which the server itself leaves alone
 */
export function boundConnections(
  server: Server,
  { limits, now, onRefused }: ConnectionBounds,
): () => void {
  const open = new Shares<Socket>(limits.connections)
  const rate = new RateLimit({
    burst: limits.connectionBurst,
    perSecond: limits.connectionsPerSecond,
    addresses: limits.addresses,
  })
  const listeners = server.listeners('connection')
  server.removeAllListeners('connection')
  server.on('connection', (socket: Socket) => {
    const address = socket.remoteAddress ?? ''
    const network = networkOf(address)
    // Who is on this machine can take its processors anyhow; and a guest on it must not keep its owner's commands out, whose address is the same.
    if (!isLoopback(address) && !rate.take(network, now())) {
      onRefused()
      socket.destroy()
      return
    }
    socket.once('close', () => {
      open.remove(socket)
    })
    for (const gone of open.add(socket, network, 1)) gone.destroy()
    if (!socket.destroyed) for (const listener of listeners) listener.call(server, socket)
  })
  return () => {
    for (const socket of open.names()) socket.destroy()
  }
}
