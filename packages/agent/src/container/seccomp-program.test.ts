import assert from 'node:assert/strict'
import { test } from 'node:test'
import { evaluate, type SystemCall } from '../testing/classic-bpf.ts'
import { ALLOW, encodeProgram, fail, seccompProgram, type Verdict } from './seccomp-program.ts'

const KILL_THREAD = 0
const OTHERWISE = fail(38)

const programOf = (verdicts: Iterable<readonly [number, Verdict]>) =>
  encodeProgram(seccompProgram(new Map(verdicts), OTHERWISE))
const valueOf = (program: Buffer, call: SystemCall) => evaluate(program, call).value
const withFirst = (number: number, argument: bigint): SystemCall => ({
  number,
  args: [argument, 0xffff_ffff_ffff_ffffn],
})

test('seccompProgram() gives each number its verdict, and all others what is meant for them', () => {
  const verdicts = new Map([0, 1, 2, 5, 6, 9].map((number) => [number, ALLOW]))
  verdicts.set(3, fail(1)).set(7, fail(13))
  const program = programOf(verdicts)
  for (let number = 0; number < 100; number++)
    assert.equal(valueOf(program, { number }), verdicts.get(number) ?? OTHERWISE, `${number}`)
  for (const number of [0x3fff_ffff, 0x4000_0000, 0x4000_0001, 0x7fff_ffff, 0x8000_0000, -1])
    assert.equal(valueOf(program, { number }), OTHERWISE, `${number}`)
})

test('seccompProgram() without a verdict gives all the same', () => {
  for (const number of [0, 1, -1]) assert.equal(valueOf(programOf([]), { number }), OTHERWISE)
})

test('seccompProgram() ends the thread of every other architecture', () => {
  const program = programOf([[0, ALLOW]])
  for (const architecture of [0x4000_0003, 0xc000_00b7, 0x3e, 0, 0xffff_ffff])
    assert.equal(valueOf(program, { number: 0, architecture }), KILL_THREAD, `${architecture}`)
})

test('seccompProgram() holds for any verdicts', () => {
  let seed = 1
  // Numerical Recipes' generator: the same numbers each time.
  const random = (below: number) => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((seed / 2 ** 32) * below)
  }
  for (let round = 0; round < 50; round++) {
    const verdicts = new Map<number, number>()
    for (let count = random(120); count > 0; count--)
      verdicts.set(random(500), [ALLOW, fail(1), fail(2)][random(3)]!)
    const program = programOf(verdicts)
    for (let number = 0; number < 512; number++)
      assert.equal(valueOf(program, { number }), verdicts.get(number) ?? OTHERWISE)
  }
})

test('a rule of an argument holds for its number alone, and reads its lower half', () => {
  const program = programOf([
    [1, ALLOW],
    [2, { test: 'is', words: [7, 0xffff_ffff], holds: fail(1), otherwise: ALLOW }],
    [3, { test: 'has-bit-of', words: [0x8000_0001], holds: fail(1), otherwise: ALLOW }],
  ])
  for (const argument of [7n, 0xffff_ffffn, 0x1_0000_0007n, -1n])
    assert.equal(valueOf(program, withFirst(2, argument)), fail(1), `${argument}`)
  for (const argument of [0n, 6n, 8n, 0x7_0000_0000n, 0xffff_fffen])
    assert.equal(valueOf(program, withFirst(2, argument)), ALLOW, `${argument}`)
  for (const argument of [1n, 3n, 0x8000_0000n, 0x1_0000_0001n, -1n])
    assert.equal(valueOf(program, withFirst(3, argument)), fail(1), `${argument}`)
  for (const argument of [0n, 2n, 0x7fff_fffen, 0xffff_ffff_0000_0000n])
    assert.equal(valueOf(program, withFirst(3, argument)), ALLOW, `${argument}`)
  assert.equal(valueOf(program, withFirst(1, 7n)), ALLOW)
  assert.equal(valueOf(program, withFirst(4, 0n)), OTHERWISE)
})

test('seccompProgram() makes none whose jumps BPF cannot count', () => {
  const numbers = Array.from({ length: 1000 }, (_, index) => index)
  assert.throws(() => programOf(numbers.map((number) => [number, fail(number)])), RangeError)
})
