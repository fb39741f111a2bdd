/**
 * Makes the template of a guest's scratch space (`scratch-template.ts` of the protocol): mke2fs takes an eighth of a second in an emulated guest, and
 * on a disk of one size it writes the same few blocks each time. The program is the guest's own.
 */
import { open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { CloisterError } from '@cloister/protocol/error'
import {
  DEFAULT_SCRATCH_MIB,
  SCRATCH_BLOCK_BYTES,
  SCRATCH_FILE_SYSTEM,
  scratchBlocks,
} from '@cloister/protocol/scratch-space'
import { encodeScratchTemplate, type BlockRun } from '@cloister/protocol/scratch-template'
import type { BuildContext } from './run.ts'
import { runPackaged } from './run-packaged.ts'

/**
 * The UUID is the same in all guests, and nobody tells their file systems apart by it: what protects the scratch space is the key of each boot, under which
 * its blocks are encrypted and authenticated. The agent exchanges the seed.
 */
const UUID = '6c6f6973-7465-4720-8073-637261746368'
const DIRECTORY_HASH_SEED = UUID

/** A block elsewhere could not be missed without a word: a guest cannot read what it has not written. */
const SEARCHED_BLOCKS = 32_768
const ZERO = Buffer.alloc(SCRATCH_BLOCK_BYTES)

/**
 * @param packages - tree of unpacked packages
 * @param work - directory for a sparse file of the disk's size
 * @param epoch - seconds since 1970, the time of the file system
 */
export async function scratchTemplate(
  packages: string,
  work: string,
  epoch: number,
  context: BuildContext,
): Promise<Uint8Array> {
  const image = join(work, 'scratch')
  const blocks = scratchBlocks(DEFAULT_SCRATCH_MIB * 2 ** 20)
  await using handle = await open(image, 'wx+')
  try {
    await handle.truncate(blocks * SCRATCH_BLOCK_BYTES)
    await makeFileSystem(packages, image, epoch, context)
    const start = Buffer.alloc(SEARCHED_BLOCKS * SCRATCH_BLOCK_BYTES)
    const { bytesRead } = await handle.read(start, 0, start.length, 0)
    if (bytesRead < start.length)
      throw new CloisterError('guest-image.tool-failed', {
        where: 'mke2fs',
        why: `${bytesRead} bytes of its file system could be read`,
      })
    const runs = runsOf(start)
    const contents = runs.map(({ first, count }) => blockAt(start, first, count))
    return encodeScratchTemplate({ blocks, runs }, Buffer.concat(contents))
  } finally {
    await rm(image)
  }
}

async function makeFileSystem(
  packages: string,
  image: string,
  epoch: number,
  context: BuildContext,
): Promise<void> {
  const { parameters, extended } = SCRATCH_FILE_SYSTEM
  const identity = `hash_seed=${DIRECTORY_HASH_SEED},root_owner=0:0`
  const args = [...parameters, '-U', UUID, '-E', `${extended},${identity}`, image]
  await runPackaged(packages, 'usr/sbin/mke2fs', args, context, {
    E2FSPROGS_FAKE_TIME: `${epoch}`,
    SOURCE_DATE_EPOCH: `${epoch}`,
    MKE2FS_CONFIG: join(packages, 'etc/mke2fs.conf'),
    TZ: 'UTC',
  })
}

/** Runs of blocks that are not zero. */
function runsOf(start: Buffer): BlockRun[] {
  const runs: { first: number; count: number }[] = []
  for (let block = 0; block < SEARCHED_BLOCKS; block++) {
    if (blockAt(start, block).equals(ZERO)) continue
    const last = runs.at(-1)
    if (last !== undefined && last.first + last.count === block) last.count++
    else runs.push({ first: block, count: 1 })
  }
  return runs
}

function blockAt(start: Buffer, block: number, count = 1): Buffer {
  return start.subarray(block * SCRATCH_BLOCK_BYTES, (block + count) * SCRATCH_BLOCK_BYTES)
}
