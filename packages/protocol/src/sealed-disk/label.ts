/**
 * The label of a sealed disk: what the disk is, and a MAC over it and the LUKS2 header behind it. Nothing on the disk is looked at by other
 * programs before this MAC was found right.
 *
 * Little-endian, 4096 bytes; bytes that the table does not name are zero.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { SEALED_DISK } from './layout.ts'

const LABEL = {
  magic: 0x00,
  version: 0x10,
  kind: 0x14,
  generation: 0x18,
  id: 0x20,
  dataBytes: 0x30,
  sourceBytes: 0x38,
  headerBytes: 0x40,
  openedBytes: 0x48,
  superblock: 0x50,
  end: 0x70,
  mac: 0xfe0,
} as const
const MAGIC = Buffer.from('CLOISTER-SEALED\0', 'latin1')
const VERSION = 1
const KINDS = ['prepared', 'sealed'] as const
const ID_BYTES = 16
const DIGEST_BYTES = 32
const MAC_DOMAIN = 'cloister/sealed-disk/1/label\0'

export interface DiskLabel {
  /** `prepared`: the content waits as records. `sealed`: a header follows and the encrypted area is in use. */
  readonly kind: (typeof KINDS)[number]
  /** Rises with each label that is written; of two right ones the higher counts. */
  readonly generation: number
  /** 16 bytes, hex. */
  readonly id: string
  readonly dataBytes: number
  /** Zero once the content was taken over. */
  readonly sourceBytes: number
  /** Of the LUKS2 header that follows; zero on a prepared disk. */
  readonly headerBytes: number
  /** Size of the opened disk; zero on a prepared one. */
  readonly openedBytes: number
  /** SHA-256 of dm-integrity's superblock, hex; zeros on a prepared disk. */
  readonly superblock: string
}

/** @param header - the LUKS2 header that it vouches for; empty on a prepared disk */
export function encodeLabel(label: DiskLabel, header: Uint8Array, macKey: Uint8Array): Buffer {
  const bytes = Buffer.alloc(SEALED_DISK.labelBytes)
  MAGIC.copy(bytes, LABEL.magic)
  bytes.writeUInt32LE(VERSION, LABEL.version)
  bytes.writeUInt32LE(KINDS.indexOf(label.kind) + 1, LABEL.kind)
  bytes.writeBigUInt64LE(BigInt(label.generation), LABEL.generation)
  bytes.write(label.id, LABEL.id, ID_BYTES, 'hex')
  bytes.writeBigUInt64LE(BigInt(label.dataBytes), LABEL.dataBytes)
  bytes.writeBigUInt64LE(BigInt(label.sourceBytes), LABEL.sourceBytes)
  bytes.writeBigUInt64LE(BigInt(label.headerBytes), LABEL.headerBytes)
  bytes.writeBigUInt64LE(BigInt(label.openedBytes), LABEL.openedBytes)
  bytes.write(label.superblock, LABEL.superblock, DIGEST_BYTES, 'hex')
  labelMac(bytes, header, macKey).copy(bytes, LABEL.mac)
  return bytes
}

/** Whether a label stands here at all; says nothing about who wrote it. */
export function hasLabel(bytes: Uint8Array): boolean {
  return Buffer.compare(bytes.subarray(0, MAGIC.length), MAGIC) === 0
}

/** How many bytes of header a label claims; what it says is not yet to be trusted. */
export function claimedHeaderBytes(bytes: Buffer): number {
  return Number(bytes.readBigUInt64LE(LABEL.headerBytes))
}

/**
 * Reads a label whose MAC is right. Attacker-controlled: both inputs, until then.
 *
 * @param bytes - {@link SEALED_DISK}`.labelBytes` of them
 * @returns undefined when the MAC is wrong, or the label has a shape that {@link encodeLabel} never gives
 */
export function openLabel(
  bytes: Buffer,
  header: Uint8Array,
  macKey: Uint8Array,
): DiskLabel | undefined {
  if (bytes.length !== SEALED_DISK.labelBytes || !hasLabel(bytes)) return undefined
  const mac = bytes.subarray(LABEL.mac)
  if (!timingSafeEqual(mac, labelMac(bytes, header, macKey))) return undefined
  const kind = KINDS[bytes.readUInt32LE(LABEL.kind) - 1]
  if (bytes.readUInt32LE(LABEL.version) !== VERSION || kind === undefined) return undefined
  if (bytes.subarray(LABEL.end, LABEL.mac).some((byte) => byte !== 0)) return undefined
  const count = (offset: number) => Number(bytes.readBigUInt64LE(offset))
  const label = {
    kind,
    generation: count(LABEL.generation),
    id: bytes.toString('hex', LABEL.id, LABEL.id + ID_BYTES),
    dataBytes: count(LABEL.dataBytes),
    sourceBytes: count(LABEL.sourceBytes),
    headerBytes: count(LABEL.headerBytes),
    openedBytes: count(LABEL.openedBytes),
    superblock: bytes.toString('hex', LABEL.superblock, LABEL.superblock + DIGEST_BYTES),
  }
  return label.headerBytes === header.length ? label : undefined
}

function labelMac(bytes: Buffer, header: Uint8Array, macKey: Uint8Array): Buffer {
  return createHmac('sha256', macKey)
    .update(MAC_DOMAIN)
    .update(bytes.subarray(0, LABEL.mac))
    .update(header)
    .digest()
}
