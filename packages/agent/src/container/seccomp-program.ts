/**
 * Makes the program that the kernel runs at each system call of a container. It is classic BPF over `struct seccomp_data`: the call's number,
 * the architecture, and the arguments. Sources: linux/filter.h, linux/bpf_common.h, linux/seccomp.h, linux/audit.h.
 */

export type Verdict = number | ArgumentRule

/** Decides by the first argument, of which the kernel reads the lower 32 bits and no others. */
export interface ArgumentRule {
  /** Whether the argument has any of a word's bits, or is a word. */
  readonly test: 'has-bit-of' | 'is'
  readonly words: readonly number[]
  /** When the test holds for any word. */
  readonly holds: number
  readonly otherwise: number
}

/** `struct sock_filter`. */
export interface Instruction {
  readonly code: number
  /** How many instructions are left out when the test holds, and when not. */
  readonly jt: number
  readonly jf: number
  readonly k: number
}

/** A call is let through. */
export const ALLOW = 0x7fff_0000
/** The thread that makes the call ends, as by SIGSYS. */
const KILL_THREAD = 0

/** A call returns this error. */
export function fail(errno: number): number {
  return 0x0005_0000 | errno
}

const AUDIT_ARCH_X86_64 = 0xc000_003e
/** Offsets in `struct seccomp_data`; of 64 bits the lower half comes first. */
const DATA = { number: 0, architecture: 4, firstArgument: 16 } as const
const CODE = { load: 0x20, ifEqual: 0x15, ifAtLeast: 0x35, ifAnyBit: 0x45, return: 0x06 } as const
/** Jumps are counted in one byte. */
const LONGEST_JUMP = 0xff

/** Calls whose numbers follow one another and that have the same verdict; they end where the next run begins, the last nowhere. */
interface Run {
  readonly first: number
  readonly verdict: Verdict
}

/**
 * The program for x86-64. Calls of other architectures end the thread, as 32-bit x86 has other numbers. Those of x32 have numbers above all
 * of x86-64's: to them `otherwise` applies.
 *
 * @param verdicts - by the call's number
 * @param otherwise - of all other numbers
 * @throws RangeError when it gets too long for BPF's jumps
 */
export function seccompProgram(
  verdicts: ReadonlyMap<number, Verdict>,
  otherwise: Verdict,
): Instruction[] {
  return [
    load(DATA.architecture),
    jump(CODE.ifEqual, AUDIT_ARCH_X86_64, { jt: 1, jf: 0 }),
    give(KILL_THREAD),
    load(DATA.number),
    ...search(runs(verdicts, otherwise)),
  ]
}

/** As the kernel takes it: an array of `struct sock_filter`, 8 bytes each. */
export function encodeProgram(program: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(program.length * 8)
  for (const [index, { code, jt, jf, k }] of program.entries()) {
    bytes.writeUInt16LE(code, index * 8)
    bytes.writeUInt8(jt, index * 8 + 2)
    bytes.writeUInt8(jf, index * 8 + 3)
    bytes.writeUInt32LE(k, index * 8 + 4)
  }
  return bytes
}

function runs(verdicts: ReadonlyMap<number, Verdict>, otherwise: Verdict): Run[] {
  const end = Math.max(-1, ...verdicts.keys()) + 1
  const found: Run[] = []
  for (let number = 0; number <= end; number++) {
    const verdict = verdicts.get(number) ?? otherwise
    if (found.at(-1)?.verdict !== verdict) found.push({ first: number, verdict })
  }
  return found
}

/** With the call's number at hand, halves what it can be until one run is left. */
function search(among: readonly Run[]): Instruction[] {
  const middle = among.length >> 1
  if (middle === 0) return decide(among[0]!.verdict)
  const below = search(among.slice(0, middle))
  const above = search(among.slice(middle))
  const isAbove = jump(CODE.ifAtLeast, among[middle]!.first, { jt: below.length, jf: 0 })
  return [isAbove, ...below, ...above]
}

function decide(verdict: Verdict): Instruction[] {
  if (typeof verdict === 'number') return [give(verdict)]
  const { test, words, holds, otherwise } = verdict
  const code = test === 'is' ? CODE.ifEqual : CODE.ifAnyBit
  return [
    load(DATA.firstArgument),
    // Each to the last instruction.
    ...words.map((word, index) => jump(code, word, { jt: words.length - index, jf: 0 })),
    give(otherwise),
    give(holds),
  ]
}

function load(offset: number): Instruction {
  return { code: CODE.load, jt: 0, jf: 0, k: offset }
}

function give(value: number): Instruction {
  return { code: CODE.return, jt: 0, jf: 0, k: value }
}

function jump(code: number, k: number, { jt, jf }: { jt: number; jf: number }): Instruction {
  if (jt > LONGEST_JUMP) throw new RangeError(`Cannot jump over ${jt} instructions`)
  return { code, jt, jf, k }
}
