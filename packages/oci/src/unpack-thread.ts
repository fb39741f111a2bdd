/**
 * Unpacks layers in a thread of its own, so that reading, decrypting and hashing, inflating, and writing go on at once. Small images are unpacked
 * where the caller is: starting a thread costs more than they do.
 */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { CloisterError } from '@cloister/protocol/error'
import { ringMemory, RingWriter, type RingMemory } from './byte-ring.ts'
import { LayerUnpacker, type LayerTarget } from './layer-unpacker.ts'
import { setXattrs } from './set-xattrs.ts'
import type { UnpackUsage } from './unpack-limits.ts'

/** A layer's target as its caller has it. */
export interface UnpackTarget extends Omit<LayerTarget, 'takeXattrs'> {
  /** Path of setfattr, which sets extended attributes. Absent: none is set. */
  readonly xattrProgram: string | undefined
}

/** Takes the layers of one image, one after the other: `begin`, `write` any number of times, `end`, `setXattrs`. */
export interface Unpacking extends AsyncDisposable {
  begin(target: UnpackTarget): void
  /** The chunk may be used again once this has resolved. */
  write(chunk: Uint8Array): Promise<void> | void
  /** Resolves only when the archive was whole and its files are there. */
  end(): Promise<void> | void
  /** Gives the files their extended attributes; to be called when all else of the layer was found right. */
  setXattrs(): Promise<void>
}

/** The thread's program in the source tree; a bundle has it elsewhere. */
export const UNPACK_WORKER = new URL('./unpack-worker.ts', import.meta.url)

export class UnpackHere implements Unpacking {
  #layer: LayerUnpacker | undefined
  #target: UnpackTarget | undefined
  #xattrs: Uint8Array | undefined

  begin(target: UnpackTarget): void {
    this.#target = target
    this.#layer = new LayerUnpacker(layerTarget(target))
  }

  write(chunk: Uint8Array): void {
    this.#layer?.write(chunk)
  }

  end(): void {
    this.#xattrs = this.#layer?.end()
    this.#layer = undefined
  }

  async setXattrs(): Promise<void> {
    await applyXattrs(this.#target, this.#xattrs)
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
  | {
      readonly usage: Pick<UnpackUsage, 'entries' | 'skippedXattrs'>
      /** Still to be set, see `set-xattrs`. */
      readonly xattrs: Uint8Array
    }
  | { readonly error: unknown }

export class UnpackThread implements Unpacking {
  readonly #worker: Worker
  readonly #ring: RingWriter
  readonly #ended: Promise<never>
  #target: UnpackTarget | undefined
  #xattrs: Uint8Array | undefined
  #answer: Promise<UnpackAnswer> | undefined

  constructor(program: URL) {
    const ring = ringMemory()
    this.#ring = new RingWriter(ring)
    const workerData: UnpackWorkerData = { ring }
    this.#worker = new Worker(program, { workerData, name: 'unpack', resourceLimits: LIMITS })
    // Without it the writer would wait for a thread that is gone, and a failure before or between two layers would be nobody's.
    this.#ended = endOf(this.#worker)
    this.#ended.catch(() => this.#ring.stop())
  }

  begin(target: UnpackTarget): void {
    if (!this.#ring.isStopped) this.#ring.open()
    this.#target = target
    this.#answer = nextAnswer(this.#worker, this.#ended)
    // It is looked at when the layer ends, or when the thread gave up.
    this.#answer.catch(() => undefined)
    this.#worker.postMessage(layerTarget(target))
  }

  async write(chunk: Uint8Array): Promise<void> {
    await this.#ring.write(chunk)
    if (this.#ring.isStopped) await this.#finish()
  }

  async end(): Promise<void> {
    if (!this.#ring.isStopped) this.#ring.end()
    await this.#finish()
  }

  async setXattrs(): Promise<void> {
    await applyXattrs(this.#target, this.#xattrs)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ring.stop()
    await this.#worker.terminate()
  }

  async #finish(): Promise<void> {
    const answer = await this.#answer
    if (answer === undefined || 'error' in answer) throw CloisterError.fromJSON(answer?.error)
    Object.assign(this.#target!.usage, answer.usage)
    this.#xattrs = answer.xattrs
  }
}

function layerTarget({ xattrProgram, ...target }: UnpackTarget): LayerTarget {
  return { ...target, takeXattrs: xattrProgram !== undefined }
}

async function applyXattrs(
  target: UnpackTarget | undefined,
  xattrs: Uint8Array | undefined,
): Promise<void> {
  if (target?.xattrProgram === undefined || xattrs === undefined) return
  await setXattrs(target.xattrProgram, target.rootfs, xattrs)
}

/** Rejects when the thread fails or ends. */
function endOf(worker: Worker): Promise<never> {
  return new Promise((_, reject) => {
    worker.on('error', reject)
    worker.once('exit', () =>
      reject(new CloisterError('internal.bug', { why: 'the thread that unpacks layers ended' })),
    )
  })
}

async function nextAnswer(worker: Worker, ended: Promise<never>): Promise<UnpackAnswer> {
  const settled = new AbortController()
  const { signal } = settled
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
