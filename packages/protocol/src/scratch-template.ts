/**
 * A new file system of one size as a file of the guest image: a first block with text, then the blocks that are not zero. The text is one line of
 * decimal numbers with a space between them: of how many blocks the file system is, then for each run of blocks its first and how many it has.
 */
import { SCRATCH_BLOCK_BYTES } from './scratch-space.ts'

export interface BlockRun {
  readonly first: number
  readonly count: number
}

export interface ScratchTemplate {
  /** Of the file system that it is of. */
  readonly blocks: number
  /** In rising order; their contents follow each other from {@link TEMPLATE_HEAD_BLOCKS}. */
  readonly runs: readonly BlockRun[]
}

export const TEMPLATE_HEAD_BLOCKS = 1

/** @param contents - of the runs, one after the other */
export function encodeScratchTemplate(
  { blocks, runs }: ScratchTemplate,
  contents: Uint8Array,
): Uint8Array {
  const numbers = [blocks, ...runs.flatMap(({ first, count }) => [first, count])]
  const text = Buffer.from(`${numbers.join(' ')}\n`)
  if (text.length > SCRATCH_BLOCK_BYTES) throw new RangeError('more runs than the head holds')
  return Buffer.concat([text, Buffer.alloc(SCRATCH_BLOCK_BYTES - text.length), contents])
}

/** Throws RangeError for what is no template. */
export function readScratchTemplate(file: Uint8Array): ScratchTemplate {
  const head = Buffer.from(file.subarray(0, SCRATCH_BLOCK_BYTES)).toString('latin1')
  const line = head.slice(0, head.indexOf('\n'))
  if (!/^\d+( \d+ \d+)+$/.test(line)) throw new RangeError('a head without numbers')
  const [blocks = 0, ...numbers] = line.split(' ').map(Number)
  const runs = Array.from({ length: numbers.length / 2 }, (_, index) => ({
    first: numbers[2 * index]!,
    count: numbers[2 * index + 1]!,
  }))
  const held = runs.reduce((sum, { count }) => sum + count, TEMPLATE_HEAD_BLOCKS)
  if (file.length !== held * SCRATCH_BLOCK_BYTES) throw new RangeError('blocks are missing')
  return { blocks, runs }
}
