/** Reads the broker's whole audit and works out its root anew: that every entry is the one that was signed, and the first one that is not. */
import { LOG_EVENT, prunedBefore, readAuditLeaf } from '@cloister/protocol/audit-entry'
import {
  completeHash,
  HASH_BYTES,
  joinSubtrees,
  leafHash,
  subtreesOf,
} from '@cloister/protocol/tlog/merkle'
import { TILE_WIDTH, tileAt } from '@cloister/protocol/tlog/tiles'
import { auditBroken, type OpenLog } from './open-log.ts'

/** What a broker can claim costs memory: 4 GiB of hashes. */
const MAX_ENTRIES = 2 ** 27

export interface VerifiedLog {
  /** Of all entries, those taken out too; end to end. */
  readonly hashes: Uint8Array
  /** Index of the first entry that is kept. */
  readonly firstKept: number
}

/**
 * @param seenHashes - of entries that were read before; they name what was changed
 * @throws CloisterError `broker.audit-broken`
 */
export async function verifyLog(log: OpenLog, seenHashes: Uint8Array): Promise<VerifiedLog> {
  const { head, seen } = log
  if (head.size > MAX_ENTRIES) throw auditBroken(`it claims ${head.size} entries`)
  const { hashes, firstKept, isTold } = await readEntries(log)
  const isWhole = equal(rootOf(hashes, head.size), head.root)
  const goesOn = seen === undefined || equal(rootOf(hashes, seen.size), seen.root)
  if (!isWhole || !goesOn) {
    const first = firstOther(hashes, seenHashes) ?? (await firstUnlikeTiles(log, hashes))
    const named =
      first === undefined
        ? 'which entry it is cannot be said'
        : `entry ${first} is the first that does not fit`
    const what = isWhole
      ? 'it is another history than the one seen before'
      : 'its entries do not give the signed root'
    throw auditBroken(`${what}; ${named}`)
  }
  if (firstKept > 0 && !isTold)
    throw auditBroken(`the entries before ${firstKept} are gone, and none that is left tells it`)
  return { hashes, firstKept }
}

/** From the newest bundle back to the first that is kept; the hashes of older ones from tiles. */
async function readEntries({ tiles, head: { size } }: OpenLog) {
  const hashes = new Uint8Array(size * HASH_BYTES)
  const told = new Set<number>()
  let number = Math.ceil(size / TILE_WIDTH) - 1
  for (; number >= 0; number--) {
    const entries = await tiles.bundle(number)
    if (entries === undefined) break
    for (const [at, entry] of entries.entries()) {
      const index = number * TILE_WIDTH + at
      hashes.set(leafHash(entry), index * HASH_BYTES)
      const leaf = Buffer.from(entry).toString()
      const before = leaf.includes(LOG_EVENT.prune)
        ? prunedBefore(readAuditLeaf({ index, leaf }))
        : undefined
      if (before !== undefined) told.add(before)
    }
  }
  const firstKept = Math.min((number + 1) * TILE_WIDTH, size)
  for (let at = 0; at <= number; at++)
    hashes.set(await tiles.tile(tileAt(0, at * TILE_WIDTH, size)), at * TILE_WIDTH * HASH_BYTES)
  return { hashes, firstKept, isTold: told.has(firstKept) }
}

function rootOf(hashes: Uint8Array, size: number): Uint8Array {
  const parts = subtreesOf({ from: 0, to: size }).map(({ level, index }) => {
    const bytes = 2 ** level * HASH_BYTES
    return completeHash(hashes.subarray(index * bytes, (index + 1) * bytes))
  })
  return joinSubtrees(parts)
}

function firstOther(hashes: Uint8Array, before: Uint8Array): number | undefined {
  for (let offset = 0; offset < before.length; offset += HASH_BYTES) {
    const end = offset + HASH_BYTES
    if (!equal(hashes.subarray(offset, end), before.subarray(offset, end)))
      return offset / HASH_BYTES
  }
  return undefined
}

async function firstUnlikeTiles(
  { tiles, head: { size } }: OpenLog,
  hashes: Uint8Array,
): Promise<number | undefined> {
  for (let from = 0; from < size; from += TILE_WIDTH) {
    const tile = await tiles.tile(tileAt(0, from, size))
    const read = hashes.subarray(from * HASH_BYTES, from * HASH_BYTES + tile.length)
    const other = firstOther(read, tile)
    if (other !== undefined) return from + other
  }
  return undefined
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}
