/**
 * C2SP tlog-tiles: how a log's hashes and entries are cut into files. A hash tile of level L holds up to 256 hashes of complete subtrees of 256^L leaves;
 * an entry bundle holds the entries of a tile of level 0. The last of each kind is partial until 256 are there.
 */
import { completeHash, HASH_BYTES, type Subtree } from './merkle.ts'

export const TILE_WIDTH = 256
/** A tile is 2^8 subtrees high. */
const TILE_HEIGHT = 8
/** An entry's length stands in two bytes. */
export const MAX_ENTRY_BYTES = 0xffff
const MAX_LEVEL = 5

export interface TileName {
  /** `entries`: the bundle beside the tile of level 0. */
  readonly level: number | 'entries'
  readonly number: number
  /** 1 to 256; below 256 it is partial. */
  readonly width: number
}

/** Path after `tile/`. */
export function tilePath({ level, number, width }: TileName): string {
  const digits = String(number)
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, '0').match(/.{3}/g) ?? []
  const place = groups.map((group, at) => (at < groups.length - 1 ? `x${group}` : group)).join('/')
  return `${level}/${place}${width < TILE_WIDTH ? `.p/${width}` : ''}`
}

/** @param path - after `tile/`; attacker-controlled. @returns undefined for anything but the one way to write a name */
export function parseTilePath(path: string): TileName | undefined {
  const match = /^(entries|\d)\/((?:x\d{3}\/){0,4}\d{3})(?:\.p\/(\d{1,3}))?$/.exec(path)
  if (match === null) return undefined
  const [, level = '', place = '', width] = match
  const name: TileName = {
    level: level === 'entries' ? level : Number(level),
    number: Number(place.replaceAll(/[x/]/g, '')),
    width: width === undefined ? TILE_WIDTH : Number(width),
  }
  const isKnown = name.level === 'entries' || name.level <= MAX_LEVEL
  return isKnown && name.width > 0 && tilePath(name) === path ? name : undefined
}

/** The tile of a log of `size` entries that a hash of `level` in tiles falls into. */
export function tileAt(level: number, index: number, size: number): TileName {
  const number = Math.floor(index / TILE_WIDTH)
  const subtrees = Math.floor(size / TILE_WIDTH ** level)
  return { level, number, width: Math.min(TILE_WIDTH, subtrees - number * TILE_WIDTH) }
}

/** Where the hash of a complete subtree is: a tile, and which of its hashes lie below the subtree. */
export function placeInTile(
  { level, index }: Subtree,
  size: number,
): { readonly tile: TileName; readonly first: number; readonly count: number } {
  const tileLevel = Math.floor(level / TILE_HEIGHT)
  const count = 2 ** (level % TILE_HEIGHT)
  const start = index * count
  return { tile: tileAt(tileLevel, start, size), first: start % TILE_WIDTH, count }
}

/** The hash over `count` neighbouring hashes of a tile. */
export function hashInTile(
  hashes: Uint8Array,
  { first, count }: { readonly first: number; readonly count: number },
): Uint8Array {
  return completeHash(hashes.subarray(first * HASH_BYTES, (first + count) * HASH_BYTES))
}

export function encodeBundle(entries: readonly Uint8Array[]): Uint8Array {
  const parts = entries.flatMap((entry) => {
    if (entry.length > MAX_ENTRY_BYTES) throw new RangeError('an entry has 65535 bytes at most')
    return [Uint8Array.of(entry.length >> 8, entry.length & 0xff), entry]
  })
  return Buffer.concat(parts)
}

/** @param bundle - attacker-controlled. @returns undefined when it does not end with an entry */
export function decodeBundle(bundle: Uint8Array): readonly Uint8Array[] | undefined {
  const view = new DataView(bundle.buffer, bundle.byteOffset, bundle.byteLength)
  const entries: Uint8Array[] = []
  for (let offset = 0; offset < bundle.length;) {
    if (offset + 2 > bundle.length) return undefined
    const end = offset + 2 + view.getUint16(offset)
    if (end > bundle.length) return undefined
    entries.push(bundle.subarray(offset + 2, end))
    offset = end
  }
  return entries
}
