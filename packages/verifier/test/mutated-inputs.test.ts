import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MutatedInputs } from '../fuzz/mutated-inputs.ts'
import { Random } from '../fuzz/random.ts'
import { toHex } from '../src/bytes/hex.ts'
import { toUtf8 } from '../src/bytes/text.ts'

const CORPUS = [
  Uint8Array.from({ length: 200 }, (_, index) => index),
  toUtf8('{"name":["text",1,true,{"a":"AAECAwQ="}]}'),
  Uint8Array.of(0x30, 0x82, 0x01, 0x00),
]

test('MutatedInputs changes samples in every way and leaves no trace of one input in the next', () => {
  const samples = CORPUS.map((sample) => sample.slice())
  const inputs = new MutatedInputs(samples)
  const random = new Random(7)
  const seen = new Set<string>()
  let longer = 0
  let shorter = 0
  for (let round = 0; round < 20_000; round++) {
    const input = inputs.next(random)
    seen.add(toHex(input))
    assert.ok(input.byteOffset > 0 && input.byteOffset + input.length < input.buffer.byteLength)
    if (input.length > 200) longer++
    if (input.length < 4) shorter++
    assert.ok(inputs.isUnharmed(), `round ${round}`)
  }
  assert.ok(
    seen.size > 10_000 && longer > 300 && shorter > 300,
    `${seen.size} ${longer} ${shorter}`,
  )
  assert.deepEqual(samples, CORPUS)
})

test('MutatedInputs sees that an input was written into', () => {
  const inputs = new MutatedInputs([new Uint8Array(64)])
  const random = new Random(1)
  let found = 0
  for (let round = 0; round < 20; round++) {
    inputs.next(random).fill(0xee)
    if (!inputs.isUnharmed()) found++
  }
  assert.ok(found > 0)
})

test('the same state gives the same inputs', () => {
  const first = new MutatedInputs(CORPUS)
  const random = new Random(42)
  for (let round = 0; round < 100; round++) first.next(random)
  const { state } = random
  const wanted = toHex(first.next(random))
  assert.equal(toHex(new MutatedInputs(CORPUS).next(new Random(state))), wanted)
})
