/**
 * The Merkle tree of a transparency log, as RFC 6962 and RFC 9162 (2.1) have it: hashes of 32 bytes, leaves and nodes told apart by their first byte.
 * A complete subtree is named by its level (its leaves are 2^level) and its index among those of that level. Everything is worked out from hashes of
 * complete subtrees, wherever they are kept.
 */
import { createHash } from 'node:crypto'

export const HASH_BYTES = 32

/** Leaves from `from` (included) to `to` (excluded). */
export interface LeafRange {
  readonly from: number
  readonly to: number
}

/** A complete subtree. */
export interface Subtree {
  readonly level: number
  readonly index: number
}

const LEAF = Uint8Array.of(0)
const NODE = Uint8Array.of(1)
const EMPTY_ROOT = createHash('sha256').digest()

export function leafHash(leaf: string | Uint8Array): Uint8Array {
  return createHash('sha256').update(LEAF).update(leaf).digest()
}

function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  return createHash('sha256').update(NODE).update(left).update(right).digest()
}

/**
 * The complete subtrees that a range falls into, from left to right. Only ranges that occur in a tree: they begin at a multiple of the largest power of
 * two in their length.
 */
export function subtreesOf({ from, to }: LeafRange): readonly Subtree[] {
  const subtrees: Subtree[] = []
  for (let start = from; start < to;) {
    const level = Math.floor(Math.log2(to - start))
    subtrees.push({ level, index: start / 2 ** level })
    start += 2 ** level
  }
  return subtrees
}

/** The hash over neighbouring complete subtrees, largest first; of none: of the empty tree. */
export function joinSubtrees(hashes: readonly Uint8Array[]): Uint8Array {
  return hashes.length === 0
    ? EMPTY_ROOT
    : hashes.reduceRight((right, left) => nodeHash(left, right))
}

/** The hash over a complete subtree, from its leaves' (or nodes') hashes laid end to end; their number is a power of two. */
export function completeHash(hashes: Uint8Array): Uint8Array {
  let level = hashes
  while (level.length > HASH_BYTES) {
    const above = new Uint8Array(level.length / 2)
    for (let offset = 0; offset < level.length; offset += 2 * HASH_BYTES)
      above.set(
        nodeHash(
          level.subarray(offset, offset + HASH_BYTES),
          level.subarray(offset + HASH_BYTES, offset + 2 * HASH_BYTES),
        ),
        offset / 2,
      )
    level = above
  }
  return level
}

/** PATH(m, D[n]) of RFC 9162, 2.1.3.1: the ranges whose hashes prove a leaf, from the leaf to the root. */
export function inclusionRanges(index: number, size: number): readonly LeafRange[] {
  const ranges: LeafRange[] = []
  let [from, to] = [0, size]
  while (to - from > 1) {
    const middle = from + leftLeaves(to - from)
    if (index < middle) {
      ranges.unshift({ from: middle, to })
      to = middle
    } else {
      ranges.unshift({ from, to: middle })
      from = middle
    }
  }
  return ranges
}

/** PROOF(m, D[n]) of RFC 9162, 2.1.4.1, for 0 < older < newer: the ranges whose hashes prove that the newer tree goes on from the older one. */
export function consistencyRanges(older: number, newer: number): readonly LeafRange[] {
  const ranges: LeafRange[] = []
  let [from, to] = [0, newer]
  let isOldRoot = true
  while (older !== to) {
    const middle = from + leftLeaves(to - from)
    if (older <= middle) {
      ranges.unshift({ from: middle, to })
      to = middle
    } else {
      ranges.unshift({ from, to: middle })
      from = middle
      isOldRoot = false
    }
  }
  return isOldRoot ? ranges : [{ from, to }, ...ranges]
}

/** The largest power of two below a number of leaves. */
function leftLeaves(leaves: number): number {
  return 2 ** Math.floor(Math.log2(leaves - 1))
}

export interface InclusionProof {
  readonly index: number
  readonly size: number
  readonly leaf: Uint8Array
  readonly path: readonly Uint8Array[]
  readonly root: Uint8Array
}

/** RFC 9162, 2.1.3.2. Everything in it may come from a stranger, but the root. */
export function isIncluded({ index, size, leaf, path, root }: InclusionProof): boolean {
  if (index >= size) return false
  let [fn, sn] = [index, size - 1]
  let hash = leaf
  for (const sibling of path) {
    if (sn === 0) return false
    if (isOdd(fn) || fn === sn) {
      hash = nodeHash(sibling, hash)
      while (!isOdd(fn) && fn !== 0) [fn, sn] = [half(fn), half(sn)]
    } else hash = nodeHash(hash, sibling)
    ;[fn, sn] = [half(fn), half(sn)]
  }
  return sn === 0 && equal(hash, root)
}

export interface TreeHead {
  readonly size: number
  readonly root: Uint8Array
}

/** RFC 9162, 2.1.4.2: whether the newer tree begins with all of the older one. */
export function isConsistent(
  older: TreeHead,
  newer: TreeHead,
  path: readonly Uint8Array[],
): boolean {
  if (older.size > newer.size) return false
  if (older.size === newer.size) return path.length === 0 && equal(older.root, newer.root)
  if (older.size === 0) return path.length === 0 && equal(older.root, EMPTY_ROOT)
  const isPowerOfTwo = 2 ** Math.floor(Math.log2(older.size)) === older.size
  const [first, ...rest] = isPowerOfTwo ? [older.root, ...path] : path
  if (first === undefined) return false
  let [fn, sn] = [older.size - 1, newer.size - 1]
  while (isOdd(fn)) [fn, sn] = [half(fn), half(sn)]
  let [oldHash, newHash] = [first, first]
  for (const sibling of rest) {
    if (sn === 0) return false
    if (isOdd(fn) || fn === sn) {
      oldHash = nodeHash(sibling, oldHash)
      newHash = nodeHash(sibling, newHash)
      while (!isOdd(fn) && fn !== 0) [fn, sn] = [half(fn), half(sn)]
    } else newHash = nodeHash(newHash, sibling)
    ;[fn, sn] = [half(fn), half(sn)]
  }
  return sn === 0 && equal(oldHash, older.root) && equal(newHash, newer.root)
}

const isOdd = (n: number): boolean => n % 2 === 1
const half = (n: number): number => Math.floor(n / 2)

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}
