/**
 * The closed way in: TLS with the channel key, which is in REPORT_DATA, over streams that the host opens and cannot read. The first line
 * names a TCP port of the guest, one of `network.ports`: the channel opens nothing that a published port would not.
 */
import { connect } from 'node:net'
import type { Duplex } from 'node:stream'
import { createSecureContext, TLSSocket, type SecureContext } from 'node:tls'
import type { GuestKey } from '../keys.ts'

export interface ChannelOptions {
  readonly key: GuestKey
  /** PEM. Asked for once, by the first stream: most guests never see one. */
  readonly certificate: () => string
  readonly ports: readonly number[]
}

export const CHANNEL_PROTOCOL = 'cloister-connect/1'
const MAX_STREAMS = 64
const FIRST_LINE_BYTES = 8
const OPENING_MS = 30_000

/** Takes the streams that the host opens. */
export function channelServer(options: ChannelOptions): (stream: Duplex) => void {
  let secureContext: SecureContext | undefined
  let streams = 0
  return (stream) => {
    // Errors of either side end both; there is nobody to tell.
    stream.on('error', () => undefined)
    if (streams >= MAX_STREAMS) {
      stream.destroy()
      return
    }
    streams++
    secureContext ??= channelContext(options)
    stream.once('close', () => streams--)
    const socket = new TLSSocket(stream, {
      isServer: true,
      secureContext,
      ALPNProtocols: [CHANNEL_PROTOCOL],
    })
    socket.on('error', () => stream.destroy())
    socket.once('close', () => stream.destroy())
    joinPort(socket, options.ports)
  }
}

function channelContext({ key, certificate }: ChannelOptions): SecureContext {
  return createSecureContext({
    key: key.privateKey.export({ type: 'pkcs8', format: 'pem' }),
    cert: certificate(),
    minVersion: 'TLSv1.3',
    // Clients show no certificate: the public roots need not be read.
    ca: [],
  })
}

function joinPort(socket: TLSSocket, ports: readonly number[]): void {
  const timer = setTimeout(() => socket.destroy(), OPENING_MS)
  socket.once('close', () => clearTimeout(timer))
  let line = Buffer.alloc(0)
  const onData = (chunk: Buffer) => {
    line = Buffer.concat([line, chunk])
    const end = line.indexOf(0x0a)
    if (end < 0 && line.length <= FIRST_LINE_BYTES) return
    socket.off('data', onData)
    socket.pause()
    clearTimeout(timer)
    const port = portIn(line.subarray(0, Math.max(end, 0)).toString('latin1'))
    if (port === undefined || !ports.includes(port) || socket.alpnProtocol !== CHANNEL_PROTOCOL) {
      socket.destroy()
      return
    }
    const rest = line.subarray(end + 1)
    const inner = connect({ host: '127.0.0.1', port, allowHalfOpen: true })
    inner.on('error', () => socket.destroy())
    socket.once('close', () => inner.destroy())
    if (rest.length > 0) inner.write(rest)
    socket.pipe(inner)
    inner.pipe(socket)
  }
  socket.on('data', onData)
}

function portIn(line: string): number | undefined {
  return /^[1-9]\d{0,4}$/.test(line) ? Number(line) : undefined
}
