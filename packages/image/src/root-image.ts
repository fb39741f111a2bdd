/**
 * Packs the root into one file: EROFS without compression (Node starts much faster from it), followed by its verity hash tree. Both
 * tools come from the guest's own packages and run by their own loader, so the host's versions shape no byte.
 */
import { stat } from 'node:fs/promises'

import { CloisterError } from '@cloister/protocol/error'

import type { BuildContext } from './run.ts'
import { sha256File } from './files.ts'
import { runPackaged } from './run-packaged.ts'

export const BLOCK_BYTES = 4096

/** The same in all images: a root is told apart by its verity hash. */
const FILE_SYSTEM_UUID = '6c6f6973-7465-4720-8072-6f6f742f6673'

export interface VerityRoot {
  readonly rootHash: string
  readonly salt: string
  readonly dataBlocks: number
  readonly hashOffset: number
}

/**
 * @param packages - tree of unpacked packages
 * @param epoch - seconds since 1970, the time of all files
 */
export async function packRoot(
  packages: string,
  root: string,
  image: string,
  epoch: number,
  context: BuildContext,
): Promise<VerityRoot> {
  const options = [`-T${epoch}`, `-U${FILE_SYSTEM_UUID}`, '--all-root', '-x-1', '--quiet']
  await runPackaged(packages, 'usr/bin/mkfs.erofs', [...options, image, root], context)
  const { size } = await stat(image)
  if (size % BLOCK_BYTES !== 0)
    throw new CloisterError('guest-image.tool-failed', {
      where: 'mkfs.erofs',
      why: `its image of ${size} bytes does not end at a block`,
    })
  const salt = await sha256File(image)
  const dataBlocks = size / BLOCK_BYTES
  const output = await runPackaged(
    packages,
    'usr/sbin/veritysetup',
    [
      'format',
      '--no-superblock',
      '--format=1',
      '--hash=sha256',
      `--data-block-size=${BLOCK_BYTES}`,
      `--hash-block-size=${BLOCK_BYTES}`,
      `--data-blocks=${dataBlocks}`,
      `--hash-offset=${size}`,
      `--salt=${salt}`,
      image,
      image,
    ],
    context,
  )
  const rootHash = /^Root hash:\s*([0-9a-f]{64})$/m.exec(output)?.[1]
  if (rootHash === undefined)
    throw new CloisterError('guest-image.tool-failed', { where: 'veritysetup' })
  return { rootHash, salt, dataBlocks, hashOffset: size }
}
