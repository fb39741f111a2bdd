import assert from 'node:assert/strict'
import { test } from 'node:test'
import { allParsers } from '../fuzz/all-targets.ts'
import { allocatedSince, isTooMuch, readAllocation } from '../fuzz/allocation.ts'
import type { Allocation } from '../fuzz/allocation.ts'
import type { Target } from '../fuzz/target.ts'
import { FormatError } from '../src/bytes/format-error.ts'
import { toHex } from '../src/bytes/hex.ts'
import { WITH_VECTORS } from '../src/testing/vectors.ts'

// Whatever field of a format is a length, a count or an offset: it stands somewhere, so every place is set to 0, to 1 and to the most.

/** Offsets at the start of a sample that are all tried, and how many beyond. */
const ALL_UP_TO = 320
const SPREAD = 96
const WIDTHS = [1, 2, 4, 8] as const
const MAX_MS = 1000
/** The engine compiles a path and fetches pages when it first comes there, and others use the processor. */
const MEASUREMENTS = 4

const PARSERS = await allParsers()

test('the parsers of every format are here', WITH_VECTORS, () => {
  assert.deepEqual(PARSERS.map(({ name }) => name).toSorted(), FORMATS.toSorted())
})

const FORMATS = [
  'SNP report',
  'SNP certificate table',
  'SNP JSON',
  'SNP recognise',
  'certificate',
  'revocation list',
  'PEM',
  'OVMF',
  'EAR token',
  'quote',
  'quote recognise',
  'TCB info',
  'QE identity',
  'TPM quote',
  'TPM public area',
  'TPM evidence',
  'event log',
  'canonical log',
  'dbx',
  'HCL report',
  'Azure SNP',
  'Azure TDX',
  'CBOR',
  'COSE_Sign1',
  'Nitro document',
  'CCA token',
  'CCA recognise',
  'CCA claims in JSON',
  'NVIDIA report',
  'NVIDIA recognise',
  'endorsement bundle',
  'reference manifest',
  'OCSP response',
  'SE evidence',
  'CSV report',
  'CSV root certificate',
  'CSV platform certificate',
]
for (const target of PARSERS)
  test(`${target.name}: no cut and no length of 0, 1 or the most does harm`, () => {
    for (const sample of distinctSizes(target.corpus)) {
      for (const length of offsets(sample.length)) tryOne(target, sample.subarray(0, length))
      for (const changed of withLengths(sample)) tryOne(target, changed)
    }
  })

/** What is over a bound is measured again. */
function tryOne(target: Target, input: Uint8Array): void {
  let cost = measure(target, input)
  for (let round = 1; isOver(cost, input) && round < MEASUREMENTS; round++)
    cost = measure(target, input)
  if (!isOver(cost, input)) return
  const { ms, allocated } = cost
  assert.fail(
    `${target.name} took ${ms} ms, ${allocated?.outside} bytes outside of the heap and ${allocated?.onHeap} on it: ${toHex(input)}`,
  )
}

interface Cost {
  readonly ms: number
  /** Of a refusal. */
  readonly allocated: Allocation | undefined
}

function isOver({ ms, allocated }: Cost, input: Uint8Array): boolean {
  return ms >= MAX_MS || (allocated !== undefined && isTooMuch(allocated, input.length))
}

function measure(target: Target, input: Uint8Array): Cost {
  const before = readAllocation()
  const start = performance.now()
  try {
    target.run(input)
    return { ms: performance.now() - start, allocated: undefined }
  } catch (error) {
    if (!(error instanceof FormatError))
      throw new Error(`${target.name}: ${toHex(input)}`, { cause: error })
    const allocated = allocatedSince(before)
    return { ms: performance.now() - start, allocated }
  }
}

/** In the sample itself, one change at a time, undone afterwards. */
function* withLengths(sample: Uint8Array): Generator<Uint8Array> {
  const bytes = Uint8Array.from(sample)
  for (const at of offsets(sample.length))
    for (const width of WIDTHS) {
      if (at + width > sample.length) continue
      const field = bytes.subarray(at, at + width)
      field.fill(0)
      yield bytes
      field[0] = 1
      yield bytes
      field.fill(0)
      field[width - 1] = 1
      if (width > 1) yield bytes
      field.fill(0xff)
      yield bytes
      bytes.set(sample.subarray(at, at + width), at)
    }
}

function* offsets(length: number): Generator<number> {
  for (let at = 0; at < Math.min(length, ALL_UP_TO); at++) yield at
  const step = Math.max(1, Math.ceil((length - ALL_UP_TO) / SPREAD))
  for (let at = ALL_UP_TO; at < length; at += step) yield at
}

/** One sample of each size: several reports of one layout teach no more. */
function distinctSizes(corpus: readonly Uint8Array[]): readonly Uint8Array[] {
  return corpus.filter(
    (sample, index) => corpus.findIndex(({ length }) => length === sample.length) === index,
  )
}
