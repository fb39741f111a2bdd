/**
 * Unpacks layers in a thread of its own, so that reading and decrypting, inflating, and hashing and writing go on at once. Small images are unpacked
 * where the caller is: starting a thread costs more than they do.
 */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { CloisterError } from '@cloister/protocol/error'
import { ringMemory, RingWriter, type RingMemory } from './byte-ring.ts'
import { LayerUnpacker, type LayerTarget } from './layer-unpacker.ts'
import type { UnpackUsage } from './unpack-limits.ts'

/** Takes the layers of one image, one after the other: `begin`, `write` any number of times, `end`. */
export interface Unpacking extends AsyncDisposable {
  begin(target: LayerTarget): void
  /** The chunk may be used again once this has resolved. */
  write(chunk: Uint8Array): Promise<void> | void
  /** Resolves only when every check has passed. */
  end(): Promise<void> | void
}

/** The thread's program in the source tree; a bundle has it elsewhere. */
export const UNPACK_WORKER = new URL('./unpack-worker.ts', import.meta.url)

export class UnpackHere implements Unpacking {
  #layer: LayerUnpacker | undefined

  begin(target: LayerTarget): void {
    this.#layer = new LayerUnpacker(target)
  }

  write(chunk: Uint8Array): void {
    this.#layer?.write(chunk)
  }

  end(): void {
    this.#layer?.end()
    this.#layer = undefined
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#layer?.[Symbol.dispose]()
    return Promise.resolve()
  }
}

/** It makes many short-lived small objects: more room for them would only be more memory. */
const LIMITS = { maxYoungGenerationSizeMb: 4 }

/** What the thread is started with. */
export interface UnpackWorkerData {
  readonly ring: RingMemory
}

/** The thread's answer after each layer. */
export type UnpackAnswer =
  | { readonly usage: Pick<UnpackUsage, 'entries' | 'skippedXattrs'> }
  | { readonly error: unknown }

export class UnpackThread implements Unpacking {
  readonly #worker: Worker
  readonly #ring: RingWriter
  #usage: UnpackUsage | undefined
  #answer: Promise<UnpackAnswer> | undefined

  constructor(program: URL) {
    const ring = ringMemory()
    this.#ring = new RingWriter(ring)
    const workerData: UnpackWorkerData = { ring }
    this.#worker = new Worker(program, { workerData, name: 'unpack', resourceLimits: LIMITS })
    // Without these the writer would wait for a thread that is gone, and a failure between two layers would be nobody's.
    this.#worker.on('error', () => this.#ring.stop())
    this.#worker.once('exit', () => this.#ring.stop())
  }

  begin(target: LayerTarget): void {
    this.#ring.open()
    this.#usage = target.usage
    this.#answer = nextAnswer(this.#worker)
    // It is looked at when the layer ends, or when the thread gave up.
    this.#answer.catch(() => undefined)
    this.#worker.postMessage(target)
  }

  async write(chunk: Uint8Array): Promise<void> {
    await this.#ring.write(chunk)
    if (this.#ring.isStopped) await this.#finish()
  }

  async end(): Promise<void> {
    if (!this.#ring.isStopped) this.#ring.end()
    await this.#finish()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ring.stop()
    await this.#worker.terminate()
  }

  async #finish(): Promise<void> {
    const answer = await this.#answer
    if (answer === undefined || 'error' in answer) throw CloisterError.fromJSON(answer?.error)
    Object.assign(this.#usage!, answer.usage)
  }
}

async function nextAnswer(worker: Worker): Promise<UnpackAnswer> {
  const settled = new AbortController()
  const { signal } = settled
  const ended = once(worker, 'exit', { signal }).then(() => {
    throw new CloisterError('internal.bug', { why: 'the thread that unpacks layers ended' })
  })
  ended.catch(() => undefined)
  try {
    const [answer] = (await Promise.race([once(worker, 'message', { signal }), ended])) as [
      UnpackAnswer,
    ]
    return answer
  } catch (error) {
    throw CloisterError.from(error)
  } finally {
    settled.abort()
  }
}
