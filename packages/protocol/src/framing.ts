/**
 * Reads length-prefixed frames from a byte stream that may also carry session markers (see `port-session.ts`).
 * Attacker-controlled: every byte. Nothing is allocated before the framing has accepted a header.
 */

/** How one protocol's frames begin. */
export interface Framing {
  /** Bytes that tell a frame's length. */
  readonly headerBytes: number
  /** Length of the whole frame in bytes, header included; undefined when this cannot be a header. */
  frameBytes(header: Uint8Array): number | undefined
}

export interface FrameSink {
  /** A whole frame, header included. The bytes may be kept. */
  frame(bytes: Uint8Array): void
  /** A session marker with this id. Frames after it belong to that session. */
  session(id: Uint8Array): void
  /** What follows is not a frame; bytes are discarded until a marker comes. */
  broken(): void
}

/** Starts a session on a port. As a ttrpc length it exceeds every limit, as a mux header it names no type: never a frame. */
export const SESSION_MARKER: Uint8Array = new TextEncoder().encode('CLOISTER-SESSION')
export const SESSION_ID_BYTES = 16

export class FrameReader {
  readonly #framing: Framing
  readonly #sink: FrameSink
  readonly #header: Uint8Array
  readonly #sessionId = new Uint8Array(SESSION_ID_BYTES)
  #headerFilled = 0
  #frame: Uint8Array | undefined
  #frameFilled = 0
  #isSeeking: boolean
  /** Bytes of marker and id seen so far while seeking. */
  #sought = 0
  /** A frame's place began like a marker; should it turn out not to be one, the frames are broken. */
  #isLikelyMarker = false

  /** @param start - `frames` for a stream that begins with a frame, `marker` to discard all up to a session marker */
  constructor(framing: Framing, sink: FrameSink, start: 'frames' | 'marker') {
    this.#framing = framing
    this.#sink = sink
    this.#header = new Uint8Array(framing.headerBytes)
    this.#isSeeking = start === 'marker'
  }

  get isMidFrame(): boolean {
    return this.#headerFilled > 0
  }

  push(chunk: Uint8Array): void {
    let offset = 0
    while (offset < chunk.length)
      offset = this.#isSeeking ? this.#seek(chunk, offset) : this.#take(chunk, offset)
  }

  /**
   * Gives up the frame that has begun when what came of it holds a session marker: then its sender died, and its successor waits behind the half
   * frame. A frame without one is only late, for hosts and guests may stand still for seconds.
   */
  abandonOverrunFrame(): void {
    const unread =
      this.#frame?.slice(0, this.#frameFilled) ?? this.#header.slice(0, this.#headerFilled)
    if (indexOfBytes(unread, SESSION_MARKER) === -1) return
    this.seekMarker()
    this.#sink.broken()
    this.push(unread)
  }

  /** Discards everything up to the next marker. */
  seekMarker(): void {
    this.#isSeeking = true
    this.#sought = 0
    this.#isLikelyMarker = false
    this.#headerFilled = 0
    this.#frame = undefined
  }

  #take(chunk: Uint8Array, offset: number): number {
    if (this.#frame === undefined) return this.#takeHeader(chunk, offset)
    const wanted = this.#frame.length - this.#frameFilled
    const part = chunk.subarray(offset, offset + wanted)
    this.#frame.set(part, this.#frameFilled)
    this.#frameFilled += part.length
    if (this.#frameFilled === this.#frame.length) this.#deliver(this.#frame)
    return offset + part.length
  }

  #takeHeader(chunk: Uint8Array, offset: number): number {
    const part = chunk.subarray(offset, offset + this.#header.length - this.#headerFilled)
    this.#header.set(part, this.#headerFilled)
    this.#headerFilled += part.length
    if (this.#headerFilled === this.#header.length) this.#beginFrame()
    return offset + part.length
  }

  #beginFrame(): void {
    const size = this.#framing.frameBytes(this.#header)
    if (size === undefined) {
      const unread = this.#header.slice()
      this.seekMarker()
      this.#isLikelyMarker = isMarkerPrefix(unread)
      if (!this.#isLikelyMarker) this.#sink.broken()
      this.push(unread)
      return
    }
    this.#frame = new Uint8Array(size)
    this.#frame.set(this.#header)
    this.#frameFilled = this.#header.length
    if (size === this.#header.length) this.#deliver(this.#frame)
  }

  #deliver(frame: Uint8Array): void {
    this.#frame = undefined
    this.#headerFilled = 0
    this.#sink.frame(frame)
  }

  /** The marker's first byte occurs in it once, so a mismatch can only begin a new match at the very byte. */
  #seek(chunk: Uint8Array, offset: number): number {
    for (let index = offset; index < chunk.length; index++) {
      const byte = chunk[index]!
      if (this.#sought < SESSION_MARKER.length) {
        if (byte === SESSION_MARKER[this.#sought]) this.#sought++
        else this.#mismatch(byte)
        continue
      }
      this.#sessionId[this.#sought - SESSION_MARKER.length] = byte
      this.#sought++
      if (this.#sought < SESSION_MARKER.length + SESSION_ID_BYTES) continue
      this.#isSeeking = false
      this.#isLikelyMarker = false
      this.#sought = 0
      this.#sink.session(this.#sessionId.slice())
      return index + 1
    }
    return chunk.length
  }

  #mismatch(byte: number): void {
    this.#sought = byte === SESSION_MARKER[0] ? 1 : 0
    if (!this.#isLikelyMarker) return
    this.#isLikelyMarker = false
    this.#sink.broken()
  }
}

function isMarkerPrefix(bytes: Uint8Array): boolean {
  return bytes.every((byte, index) => byte === SESSION_MARKER[index])
}

function indexOfBytes(bytes: Uint8Array, wanted: Uint8Array): number {
  const last = bytes.length - wanted.length
  for (
    let start = bytes.indexOf(wanted[0]!);
    start !== -1 && start <= last;
    start = bytes.indexOf(wanted[0]!, start + 1)
  )
    if (wanted.every((byte, index) => bytes[start + index] === byte)) return start
  return -1
}
