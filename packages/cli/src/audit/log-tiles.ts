/** Tiles and bundles of the broker's log, each fetched once. What they say is the broker's word: proofs are checked against a signed root. */
import { setTimeout as sleep } from 'node:timers/promises'
import { CloisterError } from '@cloister/protocol/error'
import {
  HASH_BYTES,
  joinSubtrees,
  subtreesOf,
  type LeafRange,
  type Subtree,
} from '@cloister/protocol/tlog/merkle'
import {
  decodeBundle,
  hashInTile,
  placeInTile,
  tilePath,
  TILE_WIDTH,
  type TileName,
} from '@cloister/protocol/tlog/tiles'
import type { BrokerClient } from '../owner/broker-client.ts'

/** The broker answers so many requests of one address for good; one that is busy is asked again. */
const BUSY_MS = 250
const BUSY_TRIES = 240

export class LogTiles {
  readonly #broker: BrokerClient
  readonly #signal: AbortSignal
  readonly #tiles = new Map<string, Uint8Array>()
  /** Of the tree that the tiles belong to. */
  readonly size: number

  constructor(broker: BrokerClient, size: number, signal: AbortSignal) {
    this.#broker = broker
    this.#signal = signal
    this.size = size
  }

  async rangeHashes(ranges: readonly LeafRange[]): Promise<readonly Uint8Array[]> {
    const hashes: Uint8Array[] = []
    for (const range of ranges) {
      const parts: Uint8Array[] = []
      for (const subtree of subtreesOf(range)) parts.push(await this.#hash(subtree))
      hashes.push(joinSubtrees(parts))
    }
    return hashes
  }

  async #hash(subtree: Subtree): Promise<Uint8Array> {
    const { tile, ...place } = placeInTile(subtree, this.size)
    return hashInTile(await this.tile(tile), place)
  }

  async tile(name: TileName): Promise<Uint8Array> {
    const path = tilePath(name)
    const known = this.#tiles.get(path)
    if (known !== undefined) return known
    const tile = await this.#fetch(name)
    if (tile.length !== name.width * HASH_BYTES) throw malformed(path)
    this.#tiles.set(path, tile)
    return tile
  }

  /** Entries of the bundle that begins at `number * 256`. @returns undefined when they are not kept any more */
  async bundle(number: number): Promise<readonly Uint8Array[] | undefined> {
    const width = Math.min(TILE_WIDTH, this.size - number * TILE_WIDTH)
    const name = { level: 'entries', number, width } as const
    try {
      const entries = decodeBundle(await this.#fetch(name))
      if (entries?.length === width) return entries
    } catch (error) {
      if (error instanceof CloisterError && error.code === 'broker.audit-pruned') return undefined
      throw error
    }
    throw malformed(tilePath(name))
  }

  async #fetch(name: TileName): Promise<Uint8Array> {
    for (let tries = 1; ; tries++)
      try {
        return await this.#broker.auditTile(name)
      } catch (error) {
        const isBusy = error instanceof CloisterError && error.code === 'broker.busy'
        if (!isBusy || tries === BUSY_TRIES) throw error
        await sleep(BUSY_MS, undefined, { signal: this.#signal })
      }
  }
}

function malformed(path: string): CloisterError {
  return new CloisterError('owner.broker-answer-malformed', { where: `tile/${path}` })
}
