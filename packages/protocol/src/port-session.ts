/**
 * Sessions over a virtio-serial port, which knows no connections: bytes of a client that died, whole frames or halves, reach the
 * server as one run with those of its successor, and answers to the dead one reach the living.
 *
 * The client writes the marker `CLOISTER-SESSION` and 16 random bytes of session id, and discards all it reads up to the marker and the
 * same id. The server, on a marker between frames, ends the session before and answers with marker and id. A frame that stands
 * half-read for `stallMs` was cut off; its bytes are searched for the marker. The client repeats its marker until the answer comes.
 */
import { randomBytes } from 'node:crypto'
import type { Duplex } from 'node:stream'
import { FrameChannel } from './frame-channel.ts'
import { FrameReader, SESSION_ID_BYTES, SESSION_MARKER, type Framing } from './framing.ts'

/** After so long without progress a begun frame is searched for a successor's marker. */
const STALL_MS = 1000
/** A marker with an id that no client draws. */
const NO_SESSION = Buffer.concat([SESSION_MARKER, Buffer.alloc(SESSION_ID_BYTES)])
/** The first repetition comes soon, for a half frame may have swallowed part of the marker; later ones are for a guest that boots. */
const FIRST_REPEAT_MS = 250
const MAX_REPEAT_MS = 4000
const MAX_UNREAD_BYTES = 1024

/** Frames over a stream that is one connection (a unix or TCP socket): no markers. Closing the channel ends the stream. */
export function frameChannel(stream: Duplex, framing: Framing): FrameChannel {
  const channel = new FrameChannel(stream, () => stream.destroy())
  const reader = new FrameReader(
    framing,
    {
      frame: (bytes) => channel.deliver(bytes),
      session: () => undefined,
      broken: () => channel.close(new Error('the stream holds what is not a frame')),
    },
    'frames',
  )
  stream.on('data', (chunk: Uint8Array) => {
    if (!channel.isClosed) reader.push(chunk)
  })
  closeWithStream(stream, (error) => channel.close(error))
  return channel
}

export interface OpenSessionOptions {
  /** Absent: waits until the stream closes or `signal` aborts. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

/**
 * Opens a session as client. Closing the channel destroys the stream.
 *
 * @throws the signal's reason, or an Error when the time is over or the stream closes first
 */
export function openPortSession(
  stream: Duplex,
  framing: Framing,
  options: OpenSessionOptions = {},
): Promise<FrameChannel> {
  const { promise, resolve, reject } = Promise.withResolvers<FrameChannel>()
  const id = randomBytes(SESSION_ID_BYTES)
  const hello = Buffer.concat([SESSION_MARKER, id])
  const channel = new FrameChannel(stream, () => stream.destroy())
  let isOpen = false

  let repeatMs = FIRST_REPEAT_MS
  let repeat: NodeJS.Timeout | undefined
  const sayHello = () => {
    repeat = setTimeout(sayHello, repeatMs)
    repeatMs = Math.min(repeatMs * 2, MAX_REPEAT_MS)
    // A guest without an agent never reads: repetitions must not pile up.
    if (stream.writableLength <= MAX_UNREAD_BYTES) stream.write(hello)
  }
  const timer =
    options.timeoutMs === undefined
      ? undefined
      : setTimeout(
          () => fail(new Error('the peer did not open the session in time')),
          options.timeoutMs,
        )
  const onAbort = () => fail(options.signal?.reason as Error)
  const settle = () => {
    clearTimeout(repeat)
    clearTimeout(timer)
    options.signal?.removeEventListener('abort', onAbort)
  }
  const fail = (error?: Error) => {
    settle()
    channel.close(error)
    if (!isOpen) reject(error ?? new Error('the stream closed'))
  }

  const reader = new FrameReader(
    framing,
    {
      frame: (bytes) => channel.deliver(bytes),
      session: (answered) => {
        if (!id.equals(answered)) {
          if (isOpen) fail(new Error('the peer has given up the session'))
          else reader.seekMarker()
          return
        }
        isOpen = true
        settle()
        resolve(channel)
      },
      broken: () => fail(new Error('the session holds what is not a frame')),
    },
    'marker',
  )
  stream.on('data', (chunk: Uint8Array) => {
    if (!channel.isClosed) reader.push(chunk)
  })
  closeWithStream(stream, fail)
  if (options.signal?.aborted === true) onAbort()
  else {
    options.signal?.addEventListener('abort', onAbort)
    sayHello()
  }
  return promise
}

export interface ServeSessionsOptions {
  /** After so long without progress a begun frame is searched for the marker of a successor, in milliseconds. */
  readonly stallMs?: number
}

/**
 * Serves sessions on a port: calls `onSession` for each, after the one before has closed. Closing a channel ends only its session.
 */
export function servePortSessions(
  port: Duplex,
  framing: Framing,
  onSession: (channel: FrameChannel) => void,
  options: ServeSessionsOptions = {},
): void {
  let channel: FrameChannel | undefined
  let currentId: Buffer | undefined
  const end = (error?: Error) => {
    const ended = channel
    channel = undefined
    currentId = undefined
    ended?.close(error)
  }
  const reader: FrameReader = new FrameReader(
    framing,
    {
      frame: (bytes) => channel?.deliver(bytes),
      session: (id) => {
        // A client repeats its marker when our answer is slow; an answer twice would be no frame for it.
        if (currentId?.equals(id) === true) return
        end(new Error('the peer opened another session'))
        currentId = Buffer.from(id)
        port.write(Buffer.concat([SESSION_MARKER, id]))
        const opened: FrameChannel = new FrameChannel(port, () => {
          if (channel === opened) end()
        })
        channel = opened
        onSession(opened)
      },
      broken: () => {
        end(new Error('the session holds what is not a frame'))
        // The client must not wait for answers that will not come.
        port.write(NO_SESSION)
      },
    },
    'marker',
  )
  const stall = setTimeout(() => {
    if (reader.isMidFrame) reader.abandonOverrunFrame()
  }, options.stallMs ?? STALL_MS).unref()
  port.on('data', (chunk: Uint8Array) => {
    reader.push(chunk)
    stall.refresh()
  })
  closeWithStream(port, (error) => {
    clearTimeout(stall)
    end(error ?? new Error('the port closed'))
  })
}

function closeWithStream(stream: Duplex, close: (error?: Error) => void): void {
  let failure: Error | undefined
  stream.on('error', (error) => {
    failure = error
    close(error)
  })
  stream.on('end', () => close(failure ?? new Error('the peer closed the stream')))
  stream.on('close', () => close(failure ?? new Error('the stream closed')))
}
