/** References: into `input`, `data` and values, with and without variables to iterate over. */
import type { Frame } from '../evaluate/context.ts'
import { DataPosition } from '../evaluate/data-position.ts'
import type { Documents } from '../evaluate/documents.ts'
import { isArray, lookup, RegoSet, type Value } from '../value.ts'
import type { Eval, Match, Piece, Step } from './closures.ts'
import type { Term } from './ir.ts'
import type { DataNode } from './rule-tree.ts'

/** A value, or a place in the tree of documents that has not been evaluated. */
type Place = Value | DataPosition

/** Where a ref starts and which of its parts are left to follow. */
export interface RefStart {
  readonly from: (frame: Frame) => Place | undefined
  readonly rest: readonly Term[]
}

/** Follows the names of a `data` ref through the tree as far as they are known. */
export function dataStart(path: readonly Term[], documents: Documents): RefStart {
  let node: DataNode = documents.root
  let at = 0
  while (at < path.length && node.rules === undefined) {
    const name = constantName(path[at] as Term)
    const child: DataNode | undefined = name === undefined ? undefined : node.children.get(name)
    if (child === undefined || child.rules?.kind === 'function') break
    node = child
    at++
  }
  const rules = node.rules
  if (rules !== undefined) {
    documents.dependsOn(rules)
    return { from: (frame) => documents.value(frame.context, rules), rest: path.slice(at) }
  }
  const next = path[at]
  const name = next === undefined ? undefined : constantName(next)
  if (name !== undefined) {
    const prefix = [...node.path, name]
    return { from: (frame) => frame.context.base(prefix), rest: path.slice(at + 1) }
  }
  documents.dependsOnReachable(node, path.slice(at).map(constantName))
  const position = new DataPosition(documents, node)
  return { from: () => position, rest: path.slice(at) }
}

/** Base documents have string keys only, so a number written in a `data` ref means its text. */
function constantName(term: Term): string | undefined {
  if (term.kind !== 'const') return undefined
  if (typeof term.value === 'string') return term.value
  return typeof term.value === 'number' ? String(term.value) : undefined
}

function descend(frame: Frame, place: Place, key: Value): Place | undefined {
  return place instanceof DataPosition ? place.child(frame.context, key) : lookup(place, key)
}

function settle(frame: Frame, place: Place | undefined): Value | undefined {
  return place instanceof DataPosition ? place.value(frame.context) : place
}

/** A ref whose parts all have values. */
export function compileGroundRef({ from, rest }: RefStart, parts: readonly Eval[]): Eval {
  if (rest.length === 0) return (frame) => settle(frame, from(frame))
  if (rest.every((part) => part.kind === 'const')) {
    const keys = rest.map((part) => part.value)
    return (frame) => {
      let place = from(frame)
      for (let at = 0; at < keys.length && place !== undefined; at++)
        place = descend(frame, place, keys[at] as Value)
      return settle(frame, place)
    }
  }
  return (frame) => {
    let place = from(frame)
    for (let at = 0; at < parts.length && place !== undefined; at++) {
      const key = (parts[at] as Eval)(frame)
      if (key === undefined) return undefined
      place = descend(frame, place, key)
    }
    return settle(frame, place)
  }
}

/** One part of a ref: a key that has a value, or a pattern for the keys. */
export type RefPart =
  | { readonly kind: 'key'; readonly key: Eval }
  | { readonly kind: 'pattern'; readonly match: Match }

/** A ref that iterates; each value found is given to `found`, and the body goes on where that holds. */
export function iteratingRef({ from }: RefStart, parts: readonly RefPart[], found: Match): Piece {
  const make = (next: Step): Step => {
    let visit = (frame: Frame, place: Place): boolean => {
      const value = settle(frame, place)
      return value !== undefined && found(frame, value) && next(frame)
    }
    for (let at = parts.length - 1; at >= 0; at--) visit = partVisitor(parts[at] as RefPart, visit)
    const start = visit
    return (frame) => {
      const place = from(frame)
      return place !== undefined && start(frame, place)
    }
  }
  return { kind: 'each', make }
}

type Visit = (frame: Frame, place: Place) => boolean

function partVisitor(part: RefPart, next: Visit): Visit {
  if (part.kind === 'key') {
    const { key } = part
    return (frame, place) => {
      const value = key(frame)
      if (value === undefined) return false
      const member = descend(frame, place, value)
      return member !== undefined && next(frame, member)
    }
  }
  return (frame, place) => visitMembers(frame, place, part.match, next)
}

/** Calls `next` for each member whose key matches, until it says stop. */
export function visitMembers(frame: Frame, place: Place, match: Match, next: Visit): boolean {
  const { run } = frame.context
  if (place instanceof DataPosition) {
    for (const key of place.keys(frame.context)) {
      run.step()
      if (!match(frame, key)) continue
      const member = place.child(frame.context, key)
      if (member !== undefined && next(frame, member)) return true
    }
    return false
  }
  if (typeof place !== 'object' || place === null) return false
  if (isArray(place)) {
    for (let at = 0; at < place.length; at++) {
      run.step()
      if (match(frame, at) && next(frame, place[at] as Value)) return true
    }
    return false
  }
  if (place instanceof RegoSet) {
    for (const member of place.sorted()) {
      run.step()
      if (match(frame, member) && next(frame, member)) return true
    }
    return false
  }
  const object = place
  for (const key of object.keys()) {
    run.step()
    if (match(frame, key) && next(frame, object.get(key) as Value)) return true
  }
  return false
}
