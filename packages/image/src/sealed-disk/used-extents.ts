/**
 * Which parts of a file system are in use. A block that nobody wrote has no tag on the encrypted disk and cannot be read, which a file system
 * never does with free blocks. Of ext4 we know which those are; of others everything is taken.
 */
import { open } from 'node:fs/promises'

import { CloisterError } from '@cloister/protocol/error'

import type { BuildContext } from '../run.ts'
import { run } from '../run.ts'

export interface Extent {
  readonly offset: number
  readonly bytes: number
}

/** ext2, ext3, ext4: magic at 0x38 of the superblock, which stands at 1024. */
const EXT_MAGIC = { offset: 1024 + 0x38, value: 0xef53 } as const
/** The sectors of the encrypted disk: a part of one is the whole of it. */
const SECTOR = 4096

/** @param bytes - size of the file system; @returns in rising order, each whole sectors, without overlap */
export async function usedExtents(
  image: string,
  bytes: number,
  context: BuildContext,
): Promise<Extent[]> {
  if (!(await isExt(image))) return [{ offset: 0, bytes }]
  const listing = await run('dumpe2fs', [image], {
    ...context,
    env: { ...process.env, LC_ALL: 'C', PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` },
  })
  return extentsIn(listing, bytes)
}

async function isExt(image: string): Promise<boolean> {
  await using file = await open(image, 'r')
  const { buffer, bytesRead } = await file.read(Buffer.alloc(2), 0, 2, EXT_MAGIC.offset)
  return bytesRead === 2 && buffer.readUInt16LE() === EXT_MAGIC.value
}

/** What `dumpe2fs` says is not free. @throws CloisterError `guest-image.tool-failed` when it says something else */
export function extentsIn(listing: string, bytes: number): Extent[] {
  const blockBytes = Number(/^Block size: +(\d+)$/m.exec(listing)?.[1])
  const blocks = Number(/^Block count: +(\d+)$/m.exec(listing)?.[1])
  if (
    !Number.isSafeInteger(blockBytes) ||
    !Number.isSafeInteger(blocks) ||
    blockBytes * blocks > bytes
  )
    throw new CloisterError('guest-image.tool-failed', { where: 'dumpe2fs' })
  const used: Extent[] = []
  let start = 0
  const take = (end: number) => {
    // Free space that does not fill a sector goes along.
    const from = Math.floor((start * blockBytes) / SECTOR) * SECTOR
    const to = Math.min(bytes, Math.ceil((end * blockBytes) / SECTOR) * SECTOR)
    const last = used.at(-1)
    if (last !== undefined && from <= last.offset + last.bytes)
      used[used.length - 1] = { offset: last.offset, bytes: to - last.offset }
    else if (to > from) used.push({ offset: from, bytes: to - from })
  }
  for (const [, list = ''] of listing.matchAll(/^ +Free blocks: (.*)$/gm))
    for (const range of list.split(', ').filter((text) => text !== '')) {
      const [first = Number.NaN, last = first] = range.split('-').map(Number)
      if (!Number.isSafeInteger(first) || first < start || last < first || last >= blocks)
        throw new CloisterError('guest-image.tool-failed', { where: 'dumpe2fs' })
      if (first > start) take(first)
      start = last + 1
    }
  if (start < blocks) take(blocks)
  return used
}
