/**
 * `regex.globs_match`: whether two expressions have a text in common. The expressions are made of characters,
 * `.`, classes and `*`, `+`, `?` behind one of these; nothing else, as upstream's library has it.
 */
import { BuiltinError } from '../builtins/registry.ts'
import { compileSet, type CharSet } from './char-set.ts'
import { parseRegex, type Node } from './syntax.ts'

interface Item {
  readonly set: CharSet
  readonly min: number
  readonly many: boolean
}

export function globsIntersect(
  left: string,
  right: string,
  count: (steps: number) => void,
): boolean {
  const [a, b] = [itemsOf(left), itemsOf(right)]
  const reachable = Array.from({ length: a.length + 1 }, () => new Uint8Array(b.length + 1))
  const pending: [number, number][] = [[0, 0]]
  // Each pair of places is looked at once, so the work is the product of the lengths.
  for (let pair = pending.pop(); pair !== undefined; pair = pending.pop()) {
    const [i, j] = pair
    if ((reachable[i] as Uint8Array)[j] === 1) continue
    ;(reachable[i] as Uint8Array)[j] = 1
    count(1)
    if (i === a.length && j === b.length) return true
    pending.push(...steps(a, b, i, j))
  }
  return false
}

function steps(a: readonly Item[], b: readonly Item[], i: number, j: number): [number, number][] {
  const [left, right] = [a[i], b[j]]
  const next: [number, number][] = []
  if (left?.min === 0) next.push([i + 1, j])
  if (right?.min === 0) next.push([i, j + 1])
  if (left === undefined || right === undefined || !overlap(left.set, right.set)) return next
  next.push([i + 1, j + 1])
  if (left.many) next.push([i, j + 1])
  if (right.many) next.push([i + 1, j])
  return next
}

function itemsOf(pattern: string): Item[] {
  const { node } = parseRegex(pattern)
  const nodes = node.kind === 'sequence' ? node.nodes : node.kind === 'empty' ? [] : [node]
  return nodes.flatMap(toItems)
}

/** `x+` is one `x` and then any number. */
function toItems(node: Node): Item[] {
  if (node.kind === 'set') return [{ set: node.set, min: 1, many: false }]
  if (node.kind === 'repeat' && node.node.kind === 'set') {
    const { set } = node.node
    const rest: Item = { set, min: 0, many: node.max === Infinity }
    if (node.min <= 1 && (node.max === 1 || node.max === Infinity))
      return node.min === 1 ? [{ set, min: 1, many: false }, rest] : [rest]
  }
  throw new BuiltinError('input must be a glob-style expression')
}

function overlap(left: CharSet, right: CharSet): boolean {
  const [a, b] = [compileSet(left, false), compileSet(right, false)]
  const edges = [left, right].flatMap(({ ranges }) =>
    ranges.flatMap(([low, high]) => [low, high, low - 1, high + 1]),
  )
  return [0, 0x61, 0x10ffff, ...edges].some(
    (code) => code >= 0 && code <= 0x10ffff && a(code) && b(code),
  )
}
