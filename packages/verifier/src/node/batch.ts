/**
 * Many pieces of Evidence over worker threads. Node only. What all have in common goes to each worker once, where endorsements are prepared
 * and cached; Evidence follows in small groups, so that neither side waits for the other and no more is held than is being worked on.
 */
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import type { Tee, TeeTypes } from '../appraisal/appraise.ts'

/**
 * Options of `appraise` that hold for every item: `tee`, `now`, and as a rule `endorsements`, `policy` and `expect`. Intel's endorsements as
 * they come, not prepared: each thread prepares them once.
 */
export type BatchOptions<T extends Tee> = { readonly tee: T } & Partial<SharedOptions<T>>

/** A cache cannot be shared between threads; each worker has its own. */
type SharedOptions<T extends Tee> = Omit<TeeTypes[T]['options'], 'cache'>

export interface BatchItem<T extends Tee> {
  readonly evidence: TeeTypes[T]['evidence']
  /** What differs from item to item, as a rule `expect` with its nonce. Replaces the member of the same name. */
  readonly options?: Partial<SharedOptions<T>>
}

export interface BatchLimits {
  /** Threads; as many as there are processors when absent. */
  readonly workers?: number
  /** Ends the batch: its threads stop and the iteration throws the signal's reason. */
  readonly signal?: AbortSignal
}

/** In the order of the items. `error` is what `appraise` threw, a mistake of the caller, or that the thread ended. */
export type BatchResult<T extends Tee> =
  | { readonly index: number; readonly result: TeeTypes[T]['result'] }
  | { readonly index: number; readonly error: Error }

/** What a worker is started with. */
export interface WorkerStart {
  readonly options: object
}

/** One group of items. */
export interface WorkerRequest {
  readonly items: readonly { readonly evidence: unknown; readonly options?: object }[]
}

type ItemAnswer = { readonly result: object } | { readonly error: Error }

/**
 * What a worker found, for each item of a group in order. Texts: one thread reads for all, and a structured clone takes it twice as long as JSON. The
 * checks, nine tenths of a result, are JSON of their own, which is read when somebody looks at them.
 */
export type WorkerAnswer = readonly (
  | { readonly result: string; readonly checks: string }
  | { readonly error: Error }
)[]

const GROUP_SIZE = 8
/** One that a worker is at, one that waits for it, and one to spare while results of a slower worker are waited for. */
const GROUPS_PER_WORKER = 3
const WORKER_FILE = new URL(
  import.meta.url.endsWith('.ts') ? './batch-worker.ts' : './batch-worker.js',
  import.meta.url,
)

/**
 * Appraises items as they come and gives the results in their order. Leaving the iteration early stops the threads.
 *
 * @param items - taken only as fast as they are worked off; bytes of Evidence must not change meanwhile
 * @throws RangeError for a number of workers below 1
 */
export async function* appraiseBatch<T extends Tee>(
  items: Iterable<BatchItem<T>> | AsyncIterable<BatchItem<T>>,
  options: BatchOptions<T>,
  { workers = availableParallelism(), signal }: BatchLimits = {},
): AsyncGenerator<BatchResult<T>, void, undefined> {
  if (!Number.isInteger(workers) || workers < 1)
    throw new RangeError(`${workers} workers, wanted 1 or more`)
  signal?.throwIfAborted()
  const pool = Array.from({ length: workers }, () => new BatchThread({ options }))
  const stopped = rejectionOf(signal)
  const waiting: Promise<readonly ItemAnswer[]>[] = []
  const groups = groupsOf(items)
  let index = 0
  try {
    for (let done = false; ;) {
      while (!done && waiting.length < workers * GROUPS_PER_WORKER) {
        const group = await Promise.race([groups.next(), stopped.promise])
        if (group.done === true) done = true
        else waiting.push(leastBusy(pool).ask({ items: group.value }))
      }
      const first = waiting.shift()
      if (first === undefined) return
      for (const answer of await Promise.race([first, stopped.promise])) {
        yield { index, ...answer } as BatchResult<T>
        index++
      }
    }
  } finally {
    stopped.forget()
    // Not awaited: after an abort a source may still be waiting for its next item.
    groups.return().catch(() => {})
    await Promise.all(pool.map((thread) => thread.stop()))
  }
}

/** One worker, started when it is first asked and anew when it ended. Answers come in the order of the questions. */
class BatchThread {
  readonly #start: WorkerStart
  #worker: Worker | undefined
  #open: { readonly size: number; readonly answer: (answers: readonly ItemAnswer[]) => void }[] = []

  constructor(start: WorkerStart) {
    this.#start = start
  }

  /** Groups that are not answered yet. */
  get load(): number {
    return this.#open.length
  }

  ask(request: WorkerRequest): Promise<readonly ItemAnswer[]> {
    const { promise, resolve } = Promise.withResolvers<readonly ItemAnswer[]>()
    this.#open.push({ size: request.items.length, answer: resolve })
    try {
      this.#worker ??= this.#begin()
      this.#worker.ref()
      this.#worker.postMessage(request)
    } catch (error) {
      // What cannot be copied to a thread, a function for instance, is the caller's mistake in this group.
      this.#open.pop()
      resolve(request.items.map(() => ({ error: asError(error) })))
    }
    return promise
  }

  async stop(): Promise<void> {
    await this.#worker?.terminate()
  }

  #begin(): Worker {
    const worker = new Worker(WORKER_FILE, { workerData: this.#start })
    worker.on('message', (answer: WorkerAnswer) => {
      this.#open.shift()?.answer(answer.map(itemAnswer))
      // A batch that nobody reads to its end must not keep the process alive.
      if (this.#open.length === 0) worker.unref()
    })
    worker.on('error', (error) => this.#end(worker, asError(error)))
    worker.on('exit', (code) =>
      this.#end(worker, new Error(`a thread of the batch ended (${code})`)),
    )
    return worker
  }

  /** Whatever was open is answered with the error; the next question starts another thread. */
  #end(worker: Worker, error: Error): void {
    if (this.#worker !== worker) return
    this.#worker = undefined
    for (const { size, answer } of this.#open.splice(0))
      answer(Array.from({ length: size }, () => ({ error })))
  }
}

function leastBusy([first, ...others]: readonly BatchThread[]): BatchThread {
  return others.reduce((a, b) => (b.load < a.load ? b : a), first as BatchThread)
}

function itemAnswer(answer: WorkerAnswer[number]): ItemAnswer {
  if ('error' in answer) return answer
  let checks: unknown
  const result = Object.defineProperty(JSON.parse(answer.result) as object, 'checks', {
    enumerable: true,
    get: () => (checks ??= JSON.parse(answer.checks)),
  })
  return { result }
}

async function* groupsOf<Item>(
  items: Iterable<Item> | AsyncIterable<Item>,
): AsyncGenerator<readonly Item[], void, undefined> {
  let group: Item[] = []
  for await (const item of items) {
    group.push(item)
    if (group.length < GROUP_SIZE) continue
    yield group
    group = []
  }
  if (group.length > 0) yield group
}

/** A promise that rejects when the signal does, and never otherwise. */
function rejectionOf(signal: AbortSignal | undefined) {
  const { promise, reject } = Promise.withResolvers<never>()
  promise.catch(() => {})
  const abort = () => reject(signal?.reason as Error)
  signal?.addEventListener('abort', abort, { once: true })
  return { promise, forget: () => signal?.removeEventListener('abort', abort) }
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown))
}
