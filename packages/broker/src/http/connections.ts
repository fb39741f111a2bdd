/**
 * Connections, bounded in number. Where there are too many, the oldest of the address with most is closed for the new one: so who opens all that he can, or says nothing on them, keeps
 * nobody out but himself.
 */
import type { Server, Socket } from 'node:net'
import { Shares } from '../shares.ts'
import { networkOf } from './network-of.ts'

/**
 * To be called before the server listens: a connection comes to its own listeners only when it is counted.
 *
 * @returns closes all that are open, those too that have not come to an end of their TLS handshake, which the server itself leaves alone
 */
export function boundConnections(server: Server, limit: number): () => void {
  const open = new Shares<Socket>(limit)
  const listeners = server.listeners('connection')
  server.removeAllListeners('connection')
  server.on('connection', (socket: Socket) => {
    socket.once('close', () => {
      open.remove(socket)
    })
    for (const gone of open.add(socket, networkOf(socket.remoteAddress ?? ''), 1)) gone.destroy()
    if (!socket.destroyed) for (const listener of listeners) listener.call(server, socket)
  })
  return () => {
    for (const socket of open.names()) socket.destroy()
  }
}
