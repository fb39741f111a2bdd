/**
 * How an encrypted disk of a measured VM is laid out. Two places hold a label with a LUKS2 header behind it, so that a new header never
 * overwrites the one in force; the encrypted area follows; on a disk that no guest has opened yet, the content waits behind it.
 *
 * | bytes                 | holds                                                                             |
 * | --------------------- | --------------------------------------------------------------------------------- |
 * | 0, 8 MiB              | a label (4096 bytes), then the LUKS2 header that it vouches for                   |
 * | 16 MiB, `dataBytes`   | dm-integrity's area: superblock, journal, tags and the encrypted blocks           |
 * | 16 MiB + `dataBytes`  | the content in authenticated records, until the first boot has taken it over      |
 *
 * The LUKS2 header is detached: the guest reads it once, checks its label's MAC, and gives cryptsetup the copy in its memory. What the host
 * does to the disk between check and use changes nothing.
 */
export const SEALED_DISK = {
  labelBytes: 4096,
  /** Where the two labels stand. */
  slots: [0, 8 << 20],
  slotBytes: 8 << 20,
  dataOffset: 16 << 20,
  /** Sectors of the opened disk. */
  sectorBytes: 4096,
  /** dm-integrity's superblock, at the start of the encrypted area. */
  integritySuperblockBytes: 4096,
} as const

/** A LUKS2 header is two copies of its metadata and the area of the key slots; ours are made with these sizes. */
export const SEALED_HEADER = {
  /** One copy: 4096 binary bytes and the JSON area. */
  metadataBytes: 16 << 10,
  /** Three slots of 4000 stripes over 96 bytes of volume key, and room. */
  keyslotsBytes: 2 << 20,
} as const

/** Both copies of the metadata and the key slots. */
export const SEALED_HEADER_BYTES = 2 * SEALED_HEADER.metadataBytes + SEALED_HEADER.keyslotsBytes

/** The one way in which such a disk is encrypted. */
export const SEALED_CIPHER = {
  encryption: 'aes-xts-plain64',
  integrity: 'hmac(sha256)',
  /** AES-256-XTS and HMAC-SHA-256: 64 and 32 bytes. */
  volumeKeyBytes: 96,
} as const
