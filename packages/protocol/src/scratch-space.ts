/** The scratch disk of a guest: what its owner, the builder of the guest image and the agent must agree on. */

/** What `cloister run` asks for unless told otherwise; guests make it fastest, for their image has a template of it. */
export const DEFAULT_SCRATCH_MIB = 8192

export const SCRATCH_BLOCK_BYTES = 4096
/** HMAC-SHA-256 of a block, which dm-integrity keeps beside it. */
export const SCRATCH_TAG_BYTES = 32
/** Of its superblock and a journal that is never used dm-integrity needs less; a tag for each block comes on top. */
const RESERVED_BYTES = 1 << 20
const BLOCKS_PER_TAG_BLOCK = SCRATCH_BLOCK_BYTES / SCRATCH_TAG_BYTES

/** How many blocks the file system on a scratch disk has; zero or less when the disk is too small for any. */
export function scratchBlocks(diskBytes: number): number {
  const whole = Math.floor((diskBytes - RESERVED_BYTES) / SCRATCH_BLOCK_BYTES)
  return whole - Math.floor(whole / (BLOCKS_PER_TAG_BLOCK + 1)) - 1
}

/**
 * Parameters of mke2fs. No journal and no spare superblocks: nothing is read after the boot that wrote it. The bookkeeping of 64 block groups, which
 * is all of a disk of the default size, lies together in the first: so it is a few runs of blocks.
 */
export const SCRATCH_FILE_SYSTEM = {
  parameters:
    `-q -F -t ext4 -b ${SCRATCH_BLOCK_BYTES} -m 0 -G 64 -O ^has_journal,sparse_super2,^resize_inode`.split(
      ' ',
    ),
  extended: 'num_backup_sb=0,nodiscard,lazy_itable_init=1',
} as const
