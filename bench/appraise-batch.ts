/** Promise: a batch over two threads scales at least 0.9 times as well as bare signature checks in two processes, in the same run. */
import { execFile } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { appraiseBatch } from '@cloister/verifier/node/batch'
import { newSnpReport } from '@cloister/verifier/snp/report-template'
import { FakeAmd, GENOA_GUEST } from '@cloister/verifier/testing/fake-amd'
import type { Figure } from './figure.ts'
import { median } from './figure.ts'
import { ecdsaCheck } from './support/native-checks.ts'

/** Measured after each thread has done `WARM` of its own: a batch that is worth threads is a long one, and compiling has its own threads. */
const ITEMS = 1500
const WARM = 800
const ROUNDS = 3
const NOW = new Date('2026-06-01')

export async function run(): Promise<Figure> {
  const workers = Math.min(2, availableParallelism())
  const amd = new FakeAmd({ names: 'simulated' })
  const evidence = amd.evidence(newSnpReport(GENOA_GUEST))
  const options = {
    tee: 'snp',
    now: NOW,
    simulatedRoots: [amd.fingerprint],
    expect: { reportData: 'any', measurement: 'any', hostData: 'any' },
  } as const
  const item = { evidence }
  const ours: number[] = []
  const bare: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const one = await itemsPerSecond(1)
    ours.push((await itemsPerSecond(workers)) / one)
    const alone = await checksPerSecond(1)
    bare.push((await checksPerSecond(workers)) / alone)
  }
  const [floor, mine] = [median(bare), median(ours)]
  return {
    name: `appraise in a batch: speed of ${workers} threads over 1, against signature checks in ${workers} processes over 1`,
    unit: 'times',
    floor,
    ours: mine,
    promise: 'at least 0.9 times as well',
    held: mine >= floor * 0.9,
  }

  async function itemsPerSecond(threads: number): Promise<number> {
    const warm = WARM * threads
    const items = Array.from({ length: warm + ITEMS }, () => item)
    let start = 0
    let count = 0
    for await (const found of appraiseBatch(items, options, { workers: threads })) {
      if (!('result' in found) || found.result.status !== 'warning')
        throw new Error('an item failed')
      if (++count === warm) start = performance.now()
    }
    return ITEMS / (performance.now() - start)
  }
}

/** Checks per second of all processes together, each measured by itself while the others run. */
async function checksPerSecond(processes: number): Promise<number> {
  const self = fileURLToPath(import.meta.url)
  const outputs = await Promise.all(
    Array.from({ length: processes }, () => promisify(execFile)(process.execPath, [self, 'bare'])),
  )
  return outputs.reduce((sum, { stdout }) => sum + Number(stdout), 0)
}

function bareChecks(): number {
  const { check } = ecdsaCheck('P-384', 672)
  for (let call = 0; call < WARM; call++) check()
  const start = performance.now()
  for (let call = 0; call < ITEMS; call++) check()
  return ITEMS / (performance.now() - start)
}

if (import.meta.main) {
  if (process.argv[2] === 'bare') console.log(bareChecks())
  else console.log(await run())
}
