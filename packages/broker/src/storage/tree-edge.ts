/**
 * The right edge of the audit's Merkle tree, in memory: at each level of tiles the hashes of the tile that is not full yet. Adding a leaf costs its hash;
 * every 256th one also the hash over a full tile.
 */
import { CloisterError } from '@cloister/protocol/error'
import {
  completeHash,
  HASH_BYTES,
  joinSubtrees,
  subtreesOf,
  type Subtree,
} from '@cloister/protocol/tlog/merkle'
import { hashInTile, placeInTile, TILE_WIDTH, type TileName } from '@cloister/protocol/tlog/tiles'

/** A tile that is full from now on. */
export interface FullTile {
  readonly level: number
  readonly number: number
  readonly hashes: Uint8Array
}

interface Growth {
  readonly full: readonly FullTile[]
  /** Level at which the last hash stays, and that hash. */
  readonly level: number
  readonly hash: Uint8Array
}

export class TreeEdge {
  readonly #levels: Uint8Array[][] = []
  readonly #fullTile: (level: number, number: number) => Uint8Array | undefined
  #size = 0

  /** @param fullTile - as they were stored */
  constructor(fullTile: (level: number, number: number) => Uint8Array | undefined) {
    this.#fullTile = fullTile
  }

  get size(): number {
    return this.#size
  }

  /** Takes up a tree of so many full tiles of level 0, from what is stored. */
  restore(fullTiles: number): void {
    this.#levels[0] = []
    this.#size = fullTiles * TILE_WIDTH
    for (
      let level = 1, below = fullTiles;
      below > 0;
      level++, below = Math.floor(below / TILE_WIDTH)
    ) {
      const hashes: Uint8Array[] = []
      for (let at = below - (below % TILE_WIDTH); at < below; at++)
        hashes.push(completeHash(this.#stored(level - 1, at)))
      this.#levels[level] = hashes
    }
  }

  /** What a leaf would change; nothing is changed yet, so that it can be stored first. */
  growth(leaf: Uint8Array): Growth {
    const full: FullTile[] = []
    let hash = leaf
    let level = 0
    for (; (this.#levels[level]?.length ?? 0) === TILE_WIDTH - 1; level++) {
      const hashes = Buffer.concat([...(this.#levels[level] ?? []), hash])
      full.push({ level, number: Math.floor(this.#size / TILE_WIDTH ** (level + 1)), hashes })
      hash = completeHash(hashes)
    }
    return { full, level, hash }
  }

  grow({ full, level, hash }: Growth): void {
    for (const tile of full) this.#levels[tile.level] = []
    ;(this.#levels[level] ??= []).push(hash)
    this.#size += 1
  }

  /** The first `width` hashes of a tile. @returns undefined when there are not so many */
  tile({ level, number, width }: TileName & { readonly level: number }): Uint8Array | undefined {
    const there = Math.floor(this.#size / TILE_WIDTH ** level) - number * TILE_WIDTH
    if (width > there) return undefined
    const hashes =
      there >= TILE_WIDTH ? this.#stored(level, number) : Buffer.concat(this.#levels[level] ?? [])
    return hashes.subarray(0, width * HASH_BYTES)
  }

  /** The root over the first so many leaves, of which there are as many. */
  root(size: number = this.#size): Uint8Array {
    return joinSubtrees(subtreesOf({ from: 0, to: size }).map((subtree) => this.#hash(subtree)))
  }

  #hash(subtree: Subtree): Uint8Array {
    const place = placeInTile(subtree, this.#size)
    const tile = this.tile(place.tile as TileName & { level: number })
    if (tile === undefined) throw new TypeError('a subtree of the tree is in one of its tiles')
    return hashInTile(tile, place)
  }

  #stored(level: number, number: number): Uint8Array {
    const tile = this.#fullTile(level, number)
    if (tile === undefined)
      throw new CloisterError('broker.storage', {
        why: `tile ${level}/${number} of the audit is missing`,
      })
    return tile
  }
}
