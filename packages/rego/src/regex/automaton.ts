/**
 * Answers only whether a text matches, by a deterministic automaton that is built as texts need it: one table look-up a
 * character. Programs that look at the character before (`\b`, `(?m)^`) are left to the machine.
 */
import type { Instruction, Program } from './program.ts'

interface State {
  readonly places: readonly number[]
  readonly accepts: boolean
  readonly acceptsAtEnd: boolean
  /** The state behind each ASCII character. */
  readonly ascii: (State | undefined)[]
  readonly others: Map<number, State>
}

/** Expressions can have exponentially many states; when so many are known, all are forgotten. */
const MAX_STATES = 1000
/** Places that all states together may hold. */
const MAX_PLACES = 100_000
/** Characters beyond ASCII that one state remembers. */
const MAX_OTHERS = 256

export class Automaton {
  readonly #program: Program
  readonly #states = new Map<string, State>()
  #start: State | undefined
  /** Places in all states. */
  #held = 0

  constructor(program: Program) {
    this.#program = program
  }

  /** Whether the automaton can run a program. */
  static canRun({ code }: Program): boolean {
    return code.every(
      (instruction) =>
        instruction.op !== 'assert' ||
        instruction.what === 'text-start' ||
        instruction.what === 'text-end',
    )
  }

  matches(text: string, count: (steps: number) => void): boolean {
    count(1 + (text.length >> 3))
    let state = (this.#start ??= this.#closed([this.#program.start], true))
    for (let at = 0; at < text.length; at++) {
      if (state.accepts) return true
      if (state.places.length === 0) return false
      const code = text.charCodeAt(at)
      if (code < 128) {
        state = state.ascii[code] ?? this.#step(state, code, count)
        continue
      }
      const point = text.codePointAt(at) as number
      if (point > 0xffff) at++
      state = state.others.get(point) ?? this.#step(state, point, count)
    }
    return state.accepts || state.acceptsAtEnd
  }

  #step(state: State, point: number, count: (steps: number) => void): State {
    count(state.places.length + 1)
    const targets: number[] = []
    for (const place of state.places) {
      const instruction = this.#program.code[place] as Instruction
      if (instruction.op === 'char' && instruction.test(point)) targets.push(instruction.next)
    }
    // A match may start anywhere.
    targets.push(this.#program.start)
    const next = this.#closed(targets, false)
    if (point < 128) state.ascii[point] = next
    else if (state.others.size < MAX_OTHERS) state.others.set(point, next)
    return next
  }

  /** The state of all places that are reached without a character. */
  #closed(from: readonly number[], atStart: boolean): State {
    const places = new Set<number>()
    this.#follow(from, { atStart, atEnd: false }, places)
    const sorted = [...places].filter((place) => this.#waits(place)).sort((a, b) => a - b)
    const key = String.fromCharCode(...sorted)
    const known = this.#states.get(key)
    if (known !== undefined) return known
    const state: State = {
      places: sorted,
      accepts: sorted.some((place) => this.#program.code[place]?.op === 'match'),
      acceptsAtEnd: this.#acceptsAtEnd(sorted, atStart),
      ascii: [],
      others: new Map(),
    }
    // The start is a state of its own: an empty text is at its start and at its end.
    if (atStart) return state
    this.#held += sorted.length + 1
    if (this.#states.size >= MAX_STATES || this.#held > MAX_PLACES) this.#forget()
    this.#states.set(key, state)
    return state
  }

  /** Drops all states; the one in use is let go with the next step. */
  #forget(): void {
    this.#states.clear()
    this.#start = undefined
    this.#held = 0
  }

  #waits(place: number): boolean {
    const op = this.#program.code[place]?.op
    return op === 'char' || op === 'match' || op === 'assert'
  }

  #acceptsAtEnd(from: readonly number[], atStart: boolean): boolean {
    const places = new Set<number>()
    this.#follow(from, { atStart, atEnd: true }, places)
    return [...places].some((place) => this.#program.code[place]?.op === 'match')
  }

  #follow(
    from: readonly number[],
    at: { atStart: boolean; atEnd: boolean },
    places: Set<number>,
  ): void {
    const stack = [...from]
    for (let place = stack.pop(); place !== undefined; place = stack.pop()) {
      if (places.has(place)) continue
      places.add(place)
      const instruction = this.#program.code[place] as Instruction
      if (instruction.op === 'split') stack.push(instruction.first, instruction.second)
      else if (instruction.op === 'save') stack.push(instruction.next)
      else if (instruction.op === 'assert')
        if (instruction.what === 'text-start' ? at.atStart : at.atEnd) stack.push(instruction.next)
    }
  }
}
