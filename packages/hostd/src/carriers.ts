/** Where streams lead that a guest opens: the fixed list of the start request, nothing else. */
import { connect } from 'node:net'
import type { Duplex } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Target } from '@cloister/protocol/hostd-api'
import { createServer } from '@cloister/protocol/node-http'

/** Takes a stream that the guest opened. */
export type Carrier = (stream: Duplex) => void

/** Carriers by target name. */
export async function carriersFor(
  targets: Readonly<Record<string, Target>>,
): Promise<Map<string, Carrier>> {
  const found = new Map<string, Carrier>()
  for (const [name, target] of Object.entries(targets))
    found.set(name, 'tcp' in target ? tcpCarrier(target.tcp) : await layoutCarrier(target.layout))
  return found
}

/**
 * Carries bytes both ways; each direction ends by itself, and a failure in one ends both. Errors end here: there is nobody to tell but
 * the two ends, who see theirs closed.
 */
export function join(one: Duplex, other: Duplex): void {
  one.on('error', () => other.destroy())
  other.on('error', () => one.destroy())
  pipeline(one, other).catch(() => other.destroy())
  pipeline(other, one).catch(() => one.destroy())
}

/** @param address - `host:port`, IPv6 in brackets */
function tcpCarrier(address: string): Carrier {
  const colon = address.lastIndexOf(':')
  const host = address.slice(0, colon).replace(/^\[(.*)\]$/, '$1')
  const port = Number(address.slice(colon + 1))
  return (stream) => {
    const socket = connect({ host, port, allowHalfOpen: true, noDelay: true })
    join(stream, socket)
  }
}

/** A registry endpoint for one layout that listens nowhere: only streams of this guest reach it. */
async function layoutCarrier(directory: string): Promise<Carrier> {
  const { serveLayout } = await import('@cloister/oci/layout-server')
  const server = createServer(serveLayout(directory))
  return (stream) => {
    stream.on('error', () => undefined)
    server.emit('connection', stream)
  }
}
