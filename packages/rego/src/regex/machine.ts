/**
 * Runs a program over a text in time linear in both, whatever the expression: all threads step together, and of two
 * threads at one place the one with the better claim stays (leftmost-first, as RE2 and Perl).
 */
import type { Instruction, Program } from './program.ts'

/** Offsets of the groups, start and end in turn; -1 for a group that took no part. */
export type Captures = Int32Array

interface Threads {
  readonly places: number[]
  readonly captures: (Captures | undefined)[]
}

export class Machine {
  readonly #program: Program
  /** At which step each place was visited last. */
  readonly #visited: Int32Array
  #step = 0

  constructor(program: Program) {
    this.#program = program
    this.#visited = new Int32Array(program.code.length).fill(-1)
  }

  /**
   * The leftmost match from `from` on.
   *
   * @param count - is told how many threads each step moves, for limits
   * @param wantCaptures - false: only whether there is a match matters, and the first one found ends the run
   */
  find(
    text: string,
    from: number,
    wantCaptures: boolean,
    count: (threads: number) => void,
  ): Captures | undefined {
    const { code, start, groups } = this.#program
    let now: Threads = { places: [], captures: [] }
    let next: Threads = { places: [], captures: [] }
    let best: Captures | undefined
    const none = new Int32Array(groups * 2).fill(-1)
    for (let at = from; ;) {
      const point = text.codePointAt(at)
      if (best === undefined) {
        this.#begin(now)
        this.#add(now, start, wantCaptures ? none : undefined, text, at)
      }
      if (now.places.length === 0 && (best !== undefined || point === undefined)) return best
      count(now.places.length + 1)
      const width = point !== undefined && point > 0xffff ? 2 : 1
      next.places.length = 0
      next.captures.length = 0
      this.#step++
      for (let thread = 0; thread < now.places.length; thread++) {
        const instruction = code[now.places[thread] as number] as Instruction
        const captures = now.captures[thread]
        if (instruction.op === 'match') {
          best = captures ?? none
          if (!wantCaptures) return best
          break
        }
        if (instruction.op === 'char' && point !== undefined && instruction.test(point))
          this.#add(next, instruction.next, captures, text, at + width)
      }
      if (point === undefined) return best
      at += width
      const swap = now
      now = next
      next = swap
    }
  }

  #begin(threads: Threads): void {
    // A new thread goes behind those on their way; places they hold stay marked in this step.
    if (threads.places.length === 0) this.#step++
  }

  /** Follows everything that needs no character; iterative, for expressions can be long. */
  #add(
    threads: Threads,
    place: number,
    captures: Captures | undefined,
    text: string,
    at: number,
  ): void {
    const stack: [number, Captures | undefined][] = [[place, captures]]
    for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
      const [pc, saved] = top
      if (this.#visited[pc] === this.#step) continue
      this.#visited[pc] = this.#step
      const instruction = this.#program.code[pc] as Instruction
      switch (instruction.op) {
        case 'split':
          stack.push([instruction.second, saved], [instruction.first, saved])
          break
        case 'save':
          stack.push([instruction.next, saved && withSlot(saved, instruction.slot, at)])
          break
        case 'assert':
          if (holds(instruction.what, text, at)) stack.push([instruction.next, saved])
          break
        default:
          threads.places.push(pc)
          threads.captures.push(saved)
      }
    }
  }
}

function withSlot(captures: Captures, slot: number, at: number): Captures {
  const copy = captures.slice()
  copy[slot] = at
  return copy
}

function holds(
  what: Extract<Instruction, { op: 'assert' }>['what'],
  text: string,
  at: number,
): boolean {
  switch (what) {
    case 'text-start':
      return at === 0
    case 'text-end':
      return at === text.length
    case 'line-start':
      return at === 0 || text.charCodeAt(at - 1) === 10
    case 'line-end':
      return at === text.length || text.charCodeAt(at) === 10
    case 'word':
      return isWord(text, at - 1) !== isWord(text, at)
    case 'not-word':
      return isWord(text, at - 1) === isWord(text, at)
    default:
      return what satisfies never
  }
}

function isWord(text: string, at: number): boolean {
  const code = at < 0 ? Number.NaN : text.charCodeAt(at)
  return (
    (code >= 0x30 && code <= 0x39) ||
    (code >= 0x41 && code <= 0x5a) ||
    code === 0x5f ||
    (code >= 0x61 && code <= 0x7a)
  )
}
