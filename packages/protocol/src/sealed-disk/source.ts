/**
 * The content of a sealed disk on its way to the first boot: records of at most a MiB, each encrypted and authenticated under a key of this
 * disk alone (AES-256-GCM, nonce: the record's number). The host can hold it back or cut it short, which the guest notices.
 *
 * A record: u32 LE length of the ciphertext, 16 bytes tag, ciphertext. Its plaintext: u64 LE offset on the opened disk, then the bytes.
 * The last record has no bytes; its offset is the size of the file system.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto'

const CIPHER = 'aes-256-gcm'
const TAG_BYTES = 16
const NONCE_BYTES = 12
const OFFSET_BYTES = 8
const DOMAIN = Buffer.from('cloister/sealed-disk/1/record')

export const SOURCE_HEAD_BYTES = 4 + TAG_BYTES
/** Bytes of content in one record, at most. */
export const SOURCE_RECORD_BYTES = 1 << 20
const SOURCE_CIPHERTEXT_BYTES = OFFSET_BYTES + SOURCE_RECORD_BYTES

export interface SourceRecord {
  /** Where the bytes belong. */
  readonly offset: number
  /** None: this is the last record. */
  readonly data: Uint8Array
}

/** @param index - 0 for the first record; each serves once under a key */
export function encodeSourceRecord(key: Uint8Array, index: number, record: SourceRecord): Buffer {
  const cipher = createCipheriv(CIPHER, key, nonce(index), { authTagLength: TAG_BYTES })
  cipher.setAAD(DOMAIN)
  const offset = Buffer.alloc(OFFSET_BYTES)
  offset.writeBigUInt64LE(BigInt(record.offset))
  const body = [cipher.update(offset), cipher.update(record.data), cipher.final()]
  const head = Buffer.alloc(4)
  head.writeUInt32LE(OFFSET_BYTES + record.data.length)
  return Buffer.concat([head, cipher.getAuthTag(), ...body])
}

/** Length of the ciphertext that follows a head; undefined when no record is that long. */
export function sourceCiphertextBytes(head: Buffer): number | undefined {
  const length = head.readUInt32LE(0)
  return length >= OFFSET_BYTES && length <= SOURCE_CIPHERTEXT_BYTES ? length : undefined
}

/** @returns undefined when the record is not the one that the owner wrote at this place */
export function decodeSourceRecord(
  key: Uint8Array,
  index: number,
  head: Buffer,
  ciphertext: Uint8Array,
): SourceRecord | undefined {
  const decipher = createDecipheriv(CIPHER, key, nonce(index), { authTagLength: TAG_BYTES })
  decipher.setAAD(DOMAIN)
  decipher.setAuthTag(head.subarray(4, SOURCE_HEAD_BYTES))
  const plain = decipher.update(ciphertext)
  try {
    decipher.final()
  } catch {
    return undefined
  }
  const offset = Number(plain.readBigUInt64LE(0))
  return { offset, data: plain.subarray(OFFSET_BYTES) }
}

function nonce(index: number): Buffer {
  const bytes = Buffer.alloc(NONCE_BYTES)
  bytes.writeBigUInt64LE(BigInt(index), 0)
  return bytes
}
