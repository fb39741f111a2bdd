import assert from 'node:assert/strict'
import { test } from 'node:test'
import { appraise } from '../appraisal/appraise.ts'
import { newSnpReport } from '../snp/report-template.ts'
import { FakeAmd, GENOA_GUEST } from '../testing/fake-amd.ts'
import { FAKE_QE, FakeIntel } from '../testing/fake-intel.ts'
import { appraiseBatch } from './batch.ts'
import type { BatchItem, BatchLimits, BatchResult } from './batch.ts'

const NOW = new Date('2026-06-01T00:00:00Z')
const AMD = new FakeAmd({ names: 'simulated' })
const COMMON = {
  tee: 'snp',
  now: NOW,
  simulatedRoots: [AMD.fingerprint],
  expect: { measurement: 'any', hostData: 'any', reportData: 'any' },
} as const

function evidence(nonce: number) {
  return AMD.evidence(newSnpReport({ ...GENOA_GUEST, reportData: new Uint8Array(64).fill(nonce) }))
}

const reportData = (nonce: number) => new Uint8Array(64).fill(nonce)

function collect(
  items: Iterable<BatchItem<'snp'>> | AsyncIterable<BatchItem<'snp'>>,
  limits: BatchLimits,
): Promise<BatchResult<'snp'>[]> {
  return gather(appraiseBatch(items, COMMON, limits))
}

async function gather<Value>(values: AsyncIterable<Value>): Promise<Value[]> {
  const all: Value[] = []
  for await (const value of values) all.push(value)
  return all
}

test('results are those of appraise(), in the order of the items', async () => {
  const items = Array.from({ length: 40 }, (_, nonce) => ({
    evidence: evidence(nonce),
    // Every third nonce is not the expected one.
    options: { expect: { ...COMMON.expect, reportData: reportData(nonce % 3 === 0 ? 99 : nonce) } },
  }))
  const results = await collect(items, { workers: 2 })
  assert.deepEqual(
    results.map(({ index }) => index),
    items.map((_, index) => index),
  )
  for (const [index, found] of results.entries()) {
    assert.ok('result' in found)
    const { status } = found.result
    assert.equal(status, index % 3 === 0 ? 'contraindicated' : 'warning', `${index}`)
  }
  const [first] = results
  const [item] = items
  assert.ok(first !== undefined && 'result' in first && item !== undefined)
  const alone = await appraise(item.evidence, { ...COMMON, ...item.options })
  assert.deepEqual(first.result, alone)
})

test('an item with a mistake has an error of its own, and hostile bytes have a result', async () => {
  const uncloneable = { ...COMMON.expect, reportData: (() => {}) as unknown as 'any' }
  const results = await collect(
    [
      { evidence: evidence(1) },
      { evidence: evidence(1), options: { expect: { reportData: 'xx' } as never } },
      { evidence: new Uint8Array(9) },
      // Fills the group, so that what cannot be sent is in the next.
      ...Array.from({ length: 5 }, () => ({ evidence: evidence(1) })),
      { evidence: evidence(1), options: { expect: uncloneable } },
    ],
    { workers: 1 },
  )
  const short = results.map((found) => ('result' in found ? found.result.status : found.error.name))
  assert.deepEqual(short, [
    'warning',
    'RangeError',
    'contraindicated',
    ...Array.from({ length: 5 }, () => 'warning'),
    'DataCloneError',
  ])
})

test('raw collateral of Intel is given once for all', async () => {
  const intel = new FakeIntel()
  const body = { kind: 'sgx', report: FAKE_QE } as const
  const day = 86_400_000
  const endorsements = intel.endorsements(
    'sgx',
    new Date(NOW.getTime() - day),
    new Date(NOW.getTime() + day),
  )
  const expect = { reportData: 'any', mrEnclave: 'any', mrSigner: 'any' } as const
  const items = [{ evidence: intel.quote(body) }, { evidence: new Uint8Array(4) }]
  const batch = appraiseBatch(items, { tee: 'sgx', now: NOW, endorsements, expect }, { workers: 1 })
  const reasons = (await gather(batch)).map((found) =>
    'result' in found && 'reasons' in found.result ? found.result.reasons : found,
  )
  // The fake root is no hardware anchor: whatever it signed is untrusted.
  assert.deepEqual(reasons, [
    ['dcap.endorsement.untrusted-root'],
    ['dcap.quote.version-unsupported'],
  ])
})

test('items are taken no faster than they are worked off', async () => {
  let taken = 0
  function* source(): Generator<BatchItem<'snp'>> {
    for (;;) {
      taken++
      yield { evidence: new Uint8Array(1) }
    }
  }
  let seen = 0
  for await (const { index } of appraiseBatch(source(), COMMON, { workers: 1 })) {
    assert.equal(index, seen++)
    assert.ok(taken - seen <= 4 * 8, `${taken} taken, ${seen} seen`)
    if (seen === 100) break
  }
})

test('an abort ends the batch, though its source never gives another item', async () => {
  const abort = new AbortController()
  async function* source(): AsyncGenerator<BatchItem<'snp'>> {
    for (let index = 0; index < 8; index++) yield { evidence: evidence(1) }
    await new Promise(() => {})
  }
  const limits = { workers: 1, signal: abort.signal }
  const batch = collect(source(), limits)
  queueMicrotask(() => abort.abort(new Error('enough')))
  await assert.rejects(batch, /enough/)
  await assert.rejects(collect([], limits), /enough/)
  await assert.rejects(collect([], { workers: 0 }), RangeError)
})
