/** The shapes that terms and expressions are compiled to, and how expressions are joined to a body. */
import type { Frame } from '../evaluate/context.ts'
import type { Value } from '../value.ts'

/** The value of a term; undefined as in Rego. */
export type Eval = (frame: Frame) => Value | undefined
/** Runs the rest of a body; true means: stop looking for further solutions. */
export type Step = (frame: Frame) => boolean
/** Matches a value against a pattern and binds its variables. */
export type Match = (frame: Frame, value: Value) => boolean

/** A piece of a body: a test that holds at most once, or one that runs the rest for each solution. */
export type Piece =
  | { readonly kind: 'once'; readonly holds: (frame: Frame) => boolean }
  | { readonly kind: 'each'; readonly make: (next: Step) => Step }

/** Joins pieces and what follows them. Neighbouring tests run in one loop, which keeps the stack low. */
export function chain(pieces: readonly Piece[], last: Step): Step {
  let next = last
  for (let at = pieces.length - 1; at >= 0;) {
    const piece = pieces[at] as Piece
    if (piece.kind === 'each') {
      next = piece.make(next)
      at--
      continue
    }
    const tests: ((frame: Frame) => boolean)[] = []
    for (; at >= 0 && pieces[at]?.kind === 'once'; at--)
      tests.unshift((pieces[at] as Extract<Piece, { kind: 'once' }>).holds)
    next = testsThen(tests, next)
  }
  return next
}

function testsThen(tests: readonly ((frame: Frame) => boolean)[], next: Step): Step {
  const [first, second] = tests
  if (tests.length === 1 && first !== undefined) return (frame) => first(frame) && next(frame)
  if (tests.length === 2 && first !== undefined && second !== undefined)
    return (frame) => first(frame) && second(frame) && next(frame)
  return (frame) => {
    for (let at = 0; at < tests.length; at++)
      if (!(tests[at] as (frame: Frame) => boolean)(frame)) return false
    return next(frame)
  }
}
