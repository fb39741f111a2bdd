/** The superblock of an ext4 file system, as far as a copy differs from its original (Linux, Documentation/filesystems/ext4/super.rst). Numbers are little endian. */

/** UUID's size; the kernel takes it as four words of 32 bits. */
export const HASH_SEED_BYTES = 16

/** From the start of the file system. */
const SUPERBLOCK = { start: 1024, end: 2048 } as const
/** From the start of the superblock: `s_magic`, `s_hash_seed`, `s_checksum_type`, `s_checksum`. */
const AT = { magic: 0x38, hashSeed: 0xec, checksumType: 0x175, checksum: 0x3fc } as const
const MAGIC = 0xef53
const CHECKSUM_BY_CRC32C = 1
/** Castagnoli's polynomial, its lowest power in the highest bit. */
const POLYNOMIAL = 0x82f6_3b78

/**
 * Gives the file system another seed for the hashes by which it finds names in directories.
 *
 * @param start - of the file system, 2 KiB or more; changed in place
 * @param seed - {@link HASH_SEED_BYTES}
 * @throws RangeError for what is no superblock with a checksum, or another length of seed
 */
export function setHashSeed(start: Uint8Array, seed: Uint8Array): void {
  const superblock = Buffer.from(start.buffer, start.byteOffset, start.length).subarray(
    SUPERBLOCK.start,
    SUPERBLOCK.end,
  )
  if (superblock.length < SUPERBLOCK.end - SUPERBLOCK.start || seed.length !== HASH_SEED_BYTES)
    throw new RangeError('a start without a superblock, or a seed of another length')
  if (
    superblock.readUInt16LE(AT.magic) !== MAGIC ||
    superblock[AT.checksumType] !== CHECKSUM_BY_CRC32C
  )
    throw new RangeError('no superblock of ext4 with a checksum')
  superblock.set(seed, AT.hashSeed)
  superblock.writeUInt32LE(crc32c(superblock.subarray(0, AT.checksum)), AT.checksum)
}

/** By byte. Made when the module is loaded, which for a guest's agent is when its image is built. */
const REMAINDERS = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) * POLYNOMIAL)
  return crc
})

/** As the kernel keeps it: without the inversion at the end. */
function crc32c(bytes: Uint8Array): number {
  let crc = 0xffff_ffff
  for (const byte of bytes) crc = (crc >>> 8) ^ REMAINDERS[(crc ^ byte) & 0xff]!
  return crc >>> 0
}
