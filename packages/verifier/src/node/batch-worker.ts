/** One thread of {@link appraiseBatch}. Node only; started with {@link WorkerStart}, asked with {@link WorkerRequest}. */
import { parentPort, workerData } from 'node:worker_threads'
import { appraise } from '../appraisal/appraise.ts'
import type { Tee, TeeTypes } from '../appraisal/appraise.ts'
import { prepareDcapEndorsements } from '../dcap/endorsements.ts'
import type { DcapEndorsements } from '../dcap/endorsements.ts'
import { EndorsementCache } from '../result/endorsement-cache.ts'
import type { WorkerAnswer, WorkerRequest, WorkerStart } from './batch.ts'

type AnyOptions = { readonly tee: Tee } & TeeTypes[Tee]['options']

const INTEL: ReadonlySet<Tee> = new Set(['tdx', 'sgx', 'az-tdx'])

const common = prepare((workerData as WorkerStart).options as AnyOptions)
// Told with each item; not a reason for the thread to end.
common.catch(() => {})
const port = parentPort
if (port === null) throw new Error('batch-worker.ts is started by appraiseBatch()')

// One group after the other: answers keep the order of the questions, and a thread has one processor anyway.
let turn: Promise<void> = Promise.resolve()
port.on('message', (request: WorkerRequest) => {
  turn = turn.then(async () => port.postMessage(await answer(request)))
})

async function answer({ items }: WorkerRequest): Promise<WorkerAnswer> {
  const answers: WorkerAnswer[number][] = []
  for (const { evidence, options } of items)
    try {
      const whole = { ...(await common), ...options } as AnyOptions
      const { checks, ...result } = await appraise(evidence as Uint8Array, whole)
      answers.push({ result: JSON.stringify(result), checks: JSON.stringify(checks) })
    } catch (error) {
      answers.push({ error: error instanceof Error ? error : new Error(String(error)) })
    }
  return answers
}

/** Intel's collateral is checked once for all items, and each thread remembers the platforms it has seen. */
async function prepare(options: AnyOptions): Promise<AnyOptions> {
  const cached = { ...options, cache: new EndorsementCache() } as AnyOptions
  if (!INTEL.has(options.tee) || !('endorsements' in options)) return cached
  const endorsements = await prepareDcapEndorsements(options.endorsements as DcapEndorsements)
  return { ...cached, endorsements } as AnyOptions
}
