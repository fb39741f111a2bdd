/** How the file system gets onto the mapped scratch disk, as steps of a shell. */
import { CloisterError } from '@cloister/protocol/error'
import { SCRATCH_BLOCK_BYTES, SCRATCH_FILE_SYSTEM } from '@cloister/protocol/scratch-space'
import type { ScratchTemplate } from '@cloister/protocol/scratch-template'

/** A block that was never written has no tag and cannot be read: those that mkfs and mount look at are zeroed. */
const HEAD_MIB = 2
const TAIL_BLOCKS = 32
const BLOCKS_PER_MIB = 2 ** 20 / SCRATCH_BLOCK_BYTES
/** One block of their descriptors is for 64 groups of 128 MiB. */
const BLOCKS_PER_DESCRIPTOR_BLOCK = 64 * 128 * BLOCKS_PER_MIB

/**
 * Commands joined by `&&` that set `step` as they go. The blocks of the template come by descriptor 4.
 *
 * @param blocks - of the mapped device
 * @throws CloisterError `agent.scratch-failed` when the disk is too small
 */
export function formatStep(blocks: number, template: ScratchTemplate, mapped: string): string {
  return template.blocks === blocks ? copySteps(template, mapped) : makeSteps(blocks, mapped)
}

function copySteps({ runs }: ScratchTemplate, mapped: string): string {
  const copies = runs.map(
    ({ first, count }) =>
      `dd of=${mapped} seek=${first} bs=${SCRATCH_BLOCK_BYTES} count=${count} iflag=fullblock conv=notrunc <&4`,
  )
  return ['step=template', ...copies].join(' && ')
}

function makeSteps(blocks: number, mapped: string): string {
  const headMib = HEAD_MIB + Math.ceil(blocks / BLOCKS_PER_DESCRIPTOR_BLOCK / BLOCKS_PER_MIB)
  if (blocks <= headMib * BLOCKS_PER_MIB + TAIL_BLOCKS)
    throw new CloisterError('agent.scratch-failed', { why: `a disk of ${blocks} blocks` })
  const { parameters, extended } = SCRATCH_FILE_SYSTEM
  const zeros = (parameters: string) => `dd if=/dev/zero of=${mapped} oflag=direct ${parameters}`
  return [
    `step=head && ${zeros(`bs=1048576 count=${headMib}`)}`,
    `step=tail && ${zeros(`bs=${SCRATCH_BLOCK_BYTES} seek=${blocks - TAIL_BLOCKS} count=${TAIL_BLOCKS}`)}`,
    `step=mkfs && mkfs.ext4 ${parameters.join(' ')} -E ${extended} ${mapped}`,
  ].join(' && ')
}
