/** TDX metadata of a firmware image (Intel TDX Virtual Firmware Design Guide): which parts become the TD's first memory. */
import { FormatError } from '../bytes/format-error.ts'
import { ByteReader } from '../bytes/reader.ts'
import { OVMF_GUID, parseOvmf } from './ovmf.ts'

const FORMAT = 'TDVF metadata'
const MAGIC = 0x46564454
const MAX_SECTIONS = 64
const PAGE = 4096n

export const TDVF_SECTION = { bootFirmware: 0, configuration: 1, handOff: 2, temporary: 3 } as const

export interface TdvfSection {
  /** Of the raw data in the file. */
  readonly dataOffset: number
  readonly dataSize: number
  readonly gpa: bigint
  readonly size: bigint
  /** See {@link TDVF_SECTION}. */
  readonly type: number
  /** Contents are measured (MR.EXTEND). */
  readonly measured: boolean
  /** Pages are given later, so nothing of them is measured (PAGE.AUG). */
  readonly augmented: boolean
}

/** In file order. @throws FormatError also when the firmware has no TDX metadata */
export function parseTdvf(firmware: Uint8Array): TdvfSection[] {
  const pointer = parseOvmf(firmware).table.get(OVMF_GUID.tdxMetadata)
  if (pointer === undefined) throw new FormatError(FORMAT, 'descriptor', 0, 'is missing')
  const start = firmware.length - new ByteReader(FORMAT, pointer).u32le('offset')
  if (start < 0) throw new FormatError(FORMAT, 'descriptor', 0, 'outside of the file')
  const reader = new ByteReader(FORMAT, firmware.subarray(start))
  if (reader.u32le('signature') !== MAGIC) reader.fail('signature', 0, 'not TDVF')
  reader.u32le('length')
  if (reader.u32le('version') !== 1) reader.fail('version', 8, 'not 1')
  const count = reader.u32le('count')
  if (count > MAX_SECTIONS) reader.fail('count', 12, `more than ${MAX_SECTIONS}`)
  return Array.from({ length: count }, () => readSection(reader, firmware.length))
}

function readSection(reader: ByteReader, fileSize: number): TdvfSection {
  const at = reader.offset
  const dataOffset = reader.u32le('data_offset')
  const dataSize = reader.u32le('raw_size')
  const gpa = reader.u64le('memory_address')
  const size = reader.u64le('memory_size')
  const type = reader.u32le('type')
  const attributes = reader.u32le('attributes')
  const outside = dataOffset + dataSize > fileSize || BigInt(dataSize) > size
  if (outside) reader.fail('section', at, 'data outside of the file or of its memory')
  if (gpa % PAGE !== 0n || size % PAGE !== 0n) reader.fail('section', at, 'not whole pages')
  // No firmware needs more than 4 GiB before it runs; a larger one would only cost time.
  if (size > 0x1_0000_0000n) reader.fail('section', at, 'too large')
  return {
    dataOffset,
    dataSize,
    gpa,
    size,
    type,
    measured: (attributes & 1) !== 0,
    augmented: (attributes & 2) !== 0,
  }
}
