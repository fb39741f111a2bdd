/**
 * Bytes from one thread to another through shared memory of a fixed size: no message and no allocation per chunk. One side writes and waits without
 * blocking, the other reads and blocks. A side that gives up stops the ring, and the other one learns it.
 */

/** What both sides need; goes through `postMessage`. */
export interface RingMemory {
  readonly control: SharedArrayBuffer
  readonly data: SharedArrayBuffer
}

/** A power of two, so that positions may run over. So much that neither side waits while the other is busy for some milliseconds, or starting. */
const CAPACITY = 1 << 23
/** Bytes that are worth waking the reader, and bytes at most for the writer: waking a thread at each chunk costs more than the chunk. */
const [WAKE_READER_AT, WAKE_WRITER_AT] = [CAPACITY / 8, CAPACITY / 2]
/** Bytes read at once: small enough to stay in the processor's cache, and to give room back soon. */
const READ_SIZE = 128 << 10

const [WRITTEN, READ, STATE, WRITE_SIGNAL, READ_SIGNAL] = [0, 1, 2, 3, 4] as const
const CONTROL_WORDS = 5
const [OPEN, ENDED, STOPPED] = [0, 1, 2] as const

export function ringMemory(): RingMemory {
  return {
    control: new SharedArrayBuffer(CONTROL_WORDS * Int32Array.BYTES_PER_ELEMENT),
    data: new SharedArrayBuffer(CAPACITY),
  }
}

class Ring {
  protected readonly control: Int32Array<SharedArrayBuffer>
  protected readonly data: Uint8Array<SharedArrayBuffer>

  constructor({ control, data }: RingMemory) {
    this.control = new Int32Array(control)
    this.data = new Uint8Array(data)
  }

  get isStopped(): boolean {
    return Atomics.load(this.control, STATE) === STOPPED
  }

  /** Ends it for both sides; what is in it is lost. */
  stop(): void {
    this.become(STOPPED)
  }

  protected become(state: number): void {
    Atomics.store(this.control, STATE, state)
    this.signal(WRITE_SIGNAL)
    this.signal(READ_SIGNAL)
  }

  /** Bytes that are written and not yet read. */
  protected get fill(): number {
    return (Atomics.load(this.control, WRITTEN) - Atomics.load(this.control, READ)) | 0
  }

  /** Position of a counter in the memory. */
  protected position(counter: number): number {
    return Atomics.load(this.control, counter) & (CAPACITY - 1)
  }

  protected signal(word: number): void {
    Atomics.add(this.control, word, 1)
    Atomics.notify(this.control, word)
  }
}

export class RingWriter extends Ring {
  /** Resolves when all bytes are in, or the ring was stopped. A few may not be seen by the reader before more come, or {@link end}. */
  async write(bytes: Uint8Array): Promise<void> {
    let offset = 0
    while (offset < bytes.length && !this.isStopped) {
      // Before the look: a change after it would otherwise be missed.
      const seen = Atomics.load(this.control, READ_SIGNAL)
      const position = this.position(WRITTEN)
      const length = Math.min(bytes.length - offset, CAPACITY - this.fill, CAPACITY - position)
      if (length === 0) {
        const wait = Atomics.waitAsync(this.control, READ_SIGNAL, seen)
        if (wait.async) await wait.value
        continue
      }
      this.data.set(bytes.subarray(offset, offset + length), position)
      Atomics.add(this.control, WRITTEN, length)
      if (this.fill >= WAKE_READER_AT) this.signal(WRITE_SIGNAL)
      offset += length
    }
  }

  /** Tells the reader that no more comes until {@link open}. */
  end(): void {
    this.become(ENDED)
  }

  /** For what follows; the reader must have read to the end. */
  open(): void {
    this.become(OPEN)
  }
}

export class RingReader extends Ring {
  /** The bytes that are there, blocking until there are some; valid only until the next call. Absent: the end, or the ring was stopped. */
  *chunks(): Generator<Uint8Array> {
    for (;;) {
      const seen = Atomics.load(this.control, WRITE_SIGNAL)
      // Before the fill: what was written before the end must still be read.
      const state = Atomics.load(this.control, STATE)
      const position = this.position(READ)
      const length = Math.min(this.fill, CAPACITY - position, READ_SIZE)
      if (state === STOPPED) return
      if (length > 0) {
        yield this.data.subarray(position, position + length)
        Atomics.add(this.control, READ, length)
        if (this.fill <= WAKE_WRITER_AT) this.signal(READ_SIGNAL)
      } else if (state === ENDED) return
      else Atomics.wait(this.control, WRITE_SIGNAL, seen)
    }
  }
}
