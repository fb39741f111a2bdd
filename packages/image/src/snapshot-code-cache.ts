/**
 * The compiled form of Node's own modules in a snapshot: the last part of its file, for each module its name and what V8 made of it. Node writes that
 * of all its modules, two thirds of the file, and reads and keeps them all.
 */
import { CloisterError } from '@cloister/protocol/error'

/** As `node_snapshotable.cc` writes them: numbers little-endian in 8 bytes, strings and vectors after their length. */
const NUMBER_BYTES = 8
const MODULES = { least: 100, most: 1000 } as const
const NAME = /^[\w/.-]+$/
const NAME_BYTES = 100

/**
 * @param keep - names of modules, such as `net` and `internal/tls/wrap`; any other is compiled from its source when it is loaded
 * @throws CloisterError `guest-image.tool-failed` when the file holds no such part, or a module to keep is none of Node's
 */
export function trimCodeCache(snapshot: Buffer, keep: readonly string[]): Buffer {
  const { start, entries } = findCodeCache(snapshot)
  const kept = keep.map((name) => {
    const entry = entries.get(name)
    if (entry === undefined) throw unknownSnapshot(`it has no module ${name}`)
    return entry
  })
  const count = Buffer.alloc(NUMBER_BYTES)
  count.writeBigUInt64LE(BigInt(kept.length))
  return Buffer.concat([snapshot.subarray(0, start), count, ...kept])
}

interface CodeCache {
  /** Of the number of entries. */
  readonly start: number
  /** Each with its name and lengths. */
  readonly entries: ReadonlyMap<string, Buffer>
}

/** What stands before says nothing of its length, so it is tried everywhere: only at the right place do all lengths lead to the end of the file. */
function findCodeCache(snapshot: Buffer): CodeCache {
  for (let start = 0; start + NUMBER_BYTES <= snapshot.length; start++) {
    const count = readNumber(snapshot, start)
    if (count < MODULES.least || count > MODULES.most) continue
    const entries = readEntries(snapshot, start + NUMBER_BYTES, count)
    if (entries !== undefined) return { start, entries }
  }
  throw unknownSnapshot('it does not end with compiled modules')
}

function readEntries(
  snapshot: Buffer,
  from: number,
  count: number,
): Map<string, Buffer> | undefined {
  const entries = new Map<string, Buffer>()
  let position = from
  for (let index = 0; index < count; index++) {
    const nameStart = position + NUMBER_BYTES
    const nameEnd = nameStart + readNumber(snapshot, position)
    if (nameEnd - nameStart > NAME_BYTES) return undefined
    const name = snapshot.toString('latin1', nameStart, nameEnd)
    if (!NAME.test(name)) return undefined
    const end = nameEnd + NUMBER_BYTES + readNumber(snapshot, nameEnd)
    if (end > snapshot.length) return undefined
    entries.set(name, snapshot.subarray(position, end))
    position = end
  }
  return position === snapshot.length ? entries : undefined
}

/** Infinity beyond the end. */
function readNumber(snapshot: Buffer, position: number): number {
  if (position + NUMBER_BYTES > snapshot.length) return Infinity
  return snapshot.readUInt32LE(position) + snapshot.readUInt32LE(position + 4) * 2 ** 32
}

function unknownSnapshot(why: string): CloisterError {
  return new CloisterError('guest-image.tool-failed', { where: "Node's snapshot", why })
}
