/** hostd's HTTP server on its unix socket, which only its own user may open. */
import type { IncomingMessage, Server } from 'node:http'
import { chmod, rm } from 'node:fs/promises'
import type { Duplex } from 'node:stream'
import { CloisterError } from '@cloister/protocol/error'
import { HOSTD_STREAM_PROTOCOL } from '@cloister/protocol/hostd-api'
import { createServer, STATUS_CODES } from '@cloister/protocol/node-http'
import { sendError } from './http-exchange.ts'
import { match, type RoutesOptions } from './route.ts'
import { handle, UPGRADES } from './routes.ts'

export interface ServerOptions extends RoutesOptions {
  readonly socketPath: string
  readonly log: (message: string) => void
}

/** Serves until disposed of. The caller holds the lock, so a socket that is there is a dead one's. */
export async function serve(options: ServerOptions): Promise<AsyncDisposable> {
  const upgraded = new Set<Duplex>()
  const server = createServer((request, response) => {
    handle(options, request, response).catch((thrown: unknown) => {
      const error = CloisterError.from(thrown)
      if (error.code === 'internal.bug') options.log(String((thrown as Error).stack ?? thrown))
      sendError(response, error)
    })
  })
  server.maxConnections = 512
  server.on('upgrade', (request, stream, head) => {
    upgraded.add(stream)
    stream.once('close', () => upgraded.delete(stream))
    upgrade(options, request, stream, head).catch((thrown: unknown) =>
      refuseUpgrade(stream, CloisterError.from(thrown)),
    )
  })
  await rm(options.socketPath, { force: true })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    // Nobody else's from the first moment, whatever our umask: the socket is bound before listen() returns.
    const umask = process.umask(0o177)
    try {
      server.listen({ path: options.socketPath }, resolve)
    } finally {
      process.umask(umask)
    }
  })
  await chmod(options.socketPath, 0o600)
  return { [Symbol.asyncDispose]: () => close(server, upgraded) }
}

async function close(server: Server, upgraded: ReadonlySet<Duplex>): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve))
  server.closeAllConnections()
  for (const stream of upgraded) stream.destroy()
  await closed
}

/** A call with an upgrade: raw bytes from then on. */
async function upgrade(
  options: ServerOptions,
  request: IncomingMessage,
  stream: Duplex,
  head: Buffer,
): Promise<void> {
  stream.on('error', () => stream.destroy())
  const found = match(request)
  const answer = Object.hasOwn(UPGRADES, found.route) ? UPGRADES[found.route] : undefined
  if (answer === undefined)
    throw new CloisterError('request.malformed', { where: found.route.slice(0, 200) })
  if (request.headers.upgrade !== HOSTD_STREAM_PROTOCOL)
    throw new CloisterError('request.malformed', {
      where: 'Upgrade',
      expected: HOSTD_STREAM_PROTOCOL,
    })
  const gone = new AbortController()
  stream.once('close', () => gone.abort(new Error('the client went away')))
  const take = await answer({ ...options, ...found, signal: gone.signal })
  stream.write(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${HOSTD_STREAM_PROTOCOL}\r\n\r\n`,
  )
  if (head.length > 0) stream.unshift(head)
  take(stream)
}

function refuseUpgrade(stream: Duplex, error: CloisterError): void {
  const object = error.toJSON()
  const body = JSON.stringify(object)
  stream.end(
    `HTTP/1.1 ${object.status} ${STATUS_CODES[object.status] ?? 'Error'}\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  )
}
