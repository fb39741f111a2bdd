/**
 * The Secure Execution header of a guest image (s390-tools, `genprotimg`). Big-endian. At 0xc000 of the image stands the metadata: magic
 * `SeImgLnx`, u64 offset of the header, u32 version 1. Of the header are read: magic, version, size, the three digests and the tag.
 */

/** Stage 3a, the metadata and the largest header fit into this. */
export const SE_IMAGE_HEAD_BYTES = 128 << 10

const METADATA = { offset: 0xc000, magic: 0, headerOffset: 8, version: 16, size: 20 } as const
const HEADER = {
  magic: 0,
  version: 8,
  size: 12,
  pageList: 224,
  addressList: 288,
  tweakList: 352,
  slots: 416,
} as const
const MAX_HEADER_BYTES = 8192
const TAG_BYTES = 16
const DIGEST_BYTES = 64

export interface SeHeader {
  /** SHA-512 over the content of the encrypted pages. */
  readonly pageList: Uint8Array
  /** SHA-512 over their addresses. */
  readonly addressList: Uint8Array
  /** SHA-512 over their tweaks. */
  readonly tweakList: Uint8Array
  /** AES-256-GCM tag of the header, 16 bytes. */
  readonly tag: Uint8Array
}

/** @param image - the first {@link SE_IMAGE_HEAD_BYTES} of it, or all @returns absent for what is no SE image */
export function parseSeHeader(image: Uint8Array): SeHeader | undefined {
  const { offset } = METADATA
  const metadata = image.subarray(offset, offset + METADATA.size)
  if (metadata.length < METADATA.size || !startsWith(metadata, 'SeImgLnx')) return undefined
  const fields = viewOf(metadata)
  const start = fields.getBigUint64(METADATA.headerOffset)
  if (fields.getUint32(METADATA.version) !== 1 || start >= BigInt(image.length)) return undefined
  return parseHeader(image.subarray(Number(start)))
}

function parseHeader(bytes: Uint8Array): SeHeader | undefined {
  if (bytes.length < HEADER.slots || !startsWith(bytes, 'IBMSecEx')) return undefined
  const view = viewOf(bytes)
  const size = view.getUint32(HEADER.size)
  if (view.getUint32(HEADER.version) !== 0x100) return undefined
  if (size < HEADER.slots + TAG_BYTES || size > Math.min(MAX_HEADER_BYTES, bytes.length))
    return undefined
  const digest = (at: number) => bytes.subarray(at, at + DIGEST_BYTES)
  return {
    pageList: digest(HEADER.pageList),
    addressList: digest(HEADER.addressList),
    tweakList: digest(HEADER.tweakList),
    tag: bytes.subarray(size - TAG_BYTES, size),
  }
}

function startsWith(bytes: Uint8Array, magic: string): boolean {
  return Buffer.from(bytes.subarray(0, magic.length)).toString('latin1') === magic
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
