/** The HTTPS port: TLS 1.3, and a bound on everything that a hostile peer can make slow, large or many. */
import type { RequestListener } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { CloisterError } from '@cloister/protocol/error'
import type { Identity } from '../identity.ts'
import type { BrokerLimits } from '../limits.ts'
import { boundConnections } from './connections.ts'

export interface ListenOptions {
  readonly host: string
  readonly port: number
  readonly tls: Identity
  readonly limits: BrokerLimits
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** Told of each connection that comes too soon after others of its address. */
  readonly onRefused: () => void
}

export interface ListeningServer {
  readonly port: number
  /** Stops accepting, lets requests under way end, drops idle connections. */
  close(): Promise<void>
}

/** How often Node looks for connections that take too long, milliseconds. */
const CHECK_MS = 1000
const KEEP_ALIVE_MS = 30_000

const LISTEN_REFUSALS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program listens there, perhaps the broker of another CLOISTER_HOME',
  EACCES: 'this user may not listen there',
  EADDRNOTAVAIL: 'this host has no such address',
}

/** @throws CloisterError `broker.listen`; `cause` is Node's error */
export async function listen(
  listener: RequestListener,
  { host, port, tls, limits, now, onRefused }: ListenOptions,
): Promise<ListeningServer> {
  const server = createServer(
    {
      key: tls.keyPem,
      cert: tls.certificatePem,
      minVersion: 'TLSv1.3',
      handshakeTimeout: limits.handshakeMs,
      maxHeaderSize: limits.headBytes,
      headersTimeout: limits.headMs,
      requestTimeout: limits.requestMs,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: CHECK_MS,
    },
    listener,
  )
  const closeAll = boundConnections(server, { limits, now, onRefused })
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const why = LISTEN_REFUSALS[cause.code ?? ''] ?? cause.message
      reject(new CloisterError('broker.listen', { where: `${host}:${port}`, why, cause }))
    })
    server.listen(port, host, resolve)
  })
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      const closed = new Promise<void>((resolve) => {
        server.close(() => {
          resolve()
        })
      })
      server.closeIdleConnections()
      const force = setTimeout(closeAll, limits.drainMs)
      await closed
      clearTimeout(force)
    },
  }
}
