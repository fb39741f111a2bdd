/** A hostd that dies in the middle of a frame, seen from the guest. */
import { once } from 'node:events'
import { connectPort } from '@cloister/hostd/guest-link'
import { SESSION_MARKER } from '@cloister/protocol/framing'
import { Guest } from '@cloister/protocol/guest_pb'
import { openPortSession } from '@cloister/protocol/port-session'
import { TtrpcClient } from '@cloister/protocol/ttrpc/client'
import { TTRPC_FRAMING } from '@cloister/protocol/ttrpc/frame'

/** No frames, but what hostd may have written when it died, by what it was about to say. */
export const HALVES: Readonly<Record<string, Uint8Array>> = {
  // A ttrpc header that announces 4000 bytes, and some of them.
  'a request': Buffer.concat([
    Buffer.from([0, 0, 0x0f, 0xa0, 0, 0, 0, 1, 1, 0]),
    Buffer.alloc(100, 0xaa),
  ]),
  // A mux frame of 4096 bytes for a stream, and some of them.
  'bytes of a stream': Buffer.concat([
    Buffer.from([0, 0, 0, 2, 3, 0, 0x10, 0]),
    Buffer.alloc(100, 0xaa),
  ]),
  'the length of a frame': Buffer.alloc(3),
  'the marker of a session': SESSION_MARKER.subarray(0, 12),
}

const SESSION_TIMEOUT_MS = 30_000

async function openSession(port: string) {
  const signal = AbortSignal.timeout(SESSION_TIMEOUT_MS)
  const socket = await connectPort(port, signal)
  return { socket, channel: await openPortSession(socket, TTRPC_FRAMING, { signal }) }
}

/** Opens a session, writes half of something and goes. */
export async function dieWriting(port: string, half: Uint8Array): Promise<void> {
  const { socket } = await openSession(port)
  const { promise, resolve } = Promise.withResolvers<void>()
  socket.write(half, () => {
    resolve()
  })
  await promise
  socket.destroy()
}

/** Opens a session and goes when the guest has begun to answer: what it writes on is nobody's. */
export async function dieReading(port: string): Promise<void> {
  const { socket, channel } = await openSession(port)
  // With the token in it, so it is long; evidence could not be had, for hostd plays the processor.
  const answer = new TtrpcClient(channel).call(Guest.method.getStatus, {})
  answer.catch(() => undefined)
  await once(socket, 'data')
  socket.destroy()
}
