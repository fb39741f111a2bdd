/** How much of an encrypted area its guest can use: dm-integrity keeps tags and a journal in it. */

const MIB = 1 << 20
/** dm-integrity's journal, at most, and its superblock, padding and bitmap of a small disk. */
const JOURNAL_MIB = 64
const SPARE_MIB = 4
/** A tag of 32 bytes for each block of 4096, and the same again for the journal of smaller disks. */
const TAG_SHARE = 1 / 128

/** The largest file system that fits into an encrypted area, a multiple of a MiB: what the guest's root has. */
export function roomIn(dataBytes: number): number {
  const mib = dataBytes / MIB
  const tags = Math.ceil(mib * TAG_SHARE) + 1
  const journal = Math.min(JOURNAL_MIB, Math.ceil(mib * TAG_SHARE)) + SPARE_MIB
  return Math.max(0, Math.floor(mib - tags - journal)) * MIB
}

/** The smallest encrypted area with room for a file system of this size, a multiple of a MiB. */
export function areaFor(bytes: number): number {
  let mib = Math.ceil(bytes / MIB)
  while (roomIn(mib * MIB) < bytes) mib += Math.max(1, Math.ceil((bytes - roomIn(mib * MIB)) / MIB))
  return mib * MIB
}
