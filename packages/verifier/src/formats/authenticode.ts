/**
 * The Authenticode digest of a PE image (Microsoft, "Windows Authenticode Portable Executable Signature Format"): what firmware
 * measures when it loads one. Leaves out the checksum, the entry of the certificate table and the certificates.
 */
import { runtimeCrypto } from '#crypto'
import { concatBytes } from '../bytes/concat.ts'
import { FormatError } from '../bytes/format-error.ts'
import { ByteReader } from '../bytes/reader.ts'
import type { DigestAlgorithm } from '../crypto/crypto.ts'
import { PE_FORMAT, readPeHeader } from './pe-header.ts'

const PE32 = 0x10b
const PE32_PLUS = 0x20b
const CERTIFICATE_TABLE = 4

interface Layout {
  readonly checksum: number
  readonly certificateEntry: number
  readonly certificateSize: number
  readonly headersSize: number
  readonly sections: readonly { readonly start: number; readonly size: number }[]
}

/** @throws FormatError */
export async function authenticodeDigest(
  image: Uint8Array,
  algorithm: DigestAlgorithm,
): Promise<Uint8Array> {
  const { checksum, certificateEntry, certificateSize, headersSize, sections } = readLayout(image)
  const parts = [
    image.subarray(0, checksum),
    image.subarray(checksum + 4, certificateEntry),
    image.subarray(certificateEntry + 8, headersSize),
    ...sections.map(({ start, size }) => image.subarray(start, start + size)),
  ]
  const hashed = sections.reduce((sum, { size }) => sum + size, headersSize)
  const end = image.length - certificateSize
  if (end > hashed) parts.push(image.subarray(hashed, end))
  return runtimeCrypto.digest(algorithm, concatBytes(...parts))
}

function readLayout(image: Uint8Array): Layout {
  const header = readPeHeader(image)
  const { optionalAt } = header
  const optional = new ByteReader(PE_FORMAT, header.optional)
  const magic = optional.u16le('magic')
  if (magic !== PE32 && magic !== PE32_PLUS) optional.fail('magic', 0, `0x${magic.toString(16)}`)
  optional.bytes(58, 'optional header')
  const headersSize = optional.u32le('size of headers')
  const checksum = optionalAt + optional.offset
  optional.u32le('checksum')
  optional.bytes(magic === PE32 ? 24 : 40, 'optional header')
  const directories = optional.u32le('directories')
  if (directories <= CERTIFICATE_TABLE)
    optional.fail('directories', 0, 'no certificate table entry')
  optional.bytes(CERTIFICATE_TABLE * 8, 'directories')
  const certificateEntry = optionalAt + optional.offset
  optional.u32le('certificate table')
  const certificateSize = optional.u32le('certificate table size')
  const sections = header.sections
    .filter(({ size }) => size > 0)
    .toSorted((a, b) => a.start - b.start)
  if (headersSize < certificateEntry + 8 || headersSize > image.length)
    throw new FormatError(PE_FORMAT, 'size of headers', checksum, `${headersSize}`)
  if (certificateSize > image.length)
    throw new FormatError(PE_FORMAT, 'certificate table', certificateEntry, 'outside of the file')
  return { checksum, certificateEntry, certificateSize, headersSize, sections }
}
