/** Headers of a PE image up to its table of sections (PE/COFF, 3 and 4). */
import { FormatError } from '../bytes/format-error.ts'
import { ByteReader } from '../bytes/reader.ts'

export const PE_FORMAT = 'PE image'
const DOS_MAGIC = 0x5a4d
const PE_SIGNATURE = 0x4550
const MAX_SECTIONS = 96
const SYMBOL_BYTES = 18

export interface PeSection {
  /** Eight bytes, padded with zeros. */
  readonly name: Uint8Array
  /** In memory. */
  readonly virtualSize: number
  /** In the file, as `start`; what has bytes there lies within it. */
  readonly size: number
  readonly start: number
}

export interface PeHeader {
  /** Where the optional header begins in the file. */
  readonly optionalAt: number
  readonly optional: Uint8Array
  /** Where the string table begins in the file; not checked. */
  readonly strings: number
  /** In the order of the table. */
  readonly sections: readonly PeSection[]
}

/** @throws FormatError */
export function readPeHeader(image: Uint8Array): PeHeader {
  const dos = new ByteReader(PE_FORMAT, image)
  if (dos.u16le('e_magic') !== DOS_MAGIC) dos.fail('e_magic', 0, 'not MZ')
  dos.bytes(58, 'DOS header')
  const pe = dos.u32le('e_lfanew')
  if (pe > image.length) dos.fail('e_lfanew', 60, 'outside of the file')
  const reader = new ByteReader(PE_FORMAT, image.subarray(pe))
  if (reader.u32le('signature') !== PE_SIGNATURE) reader.fail('signature', 0, 'not PE')
  reader.u16le('machine')
  const count = reader.u16le('sections')
  if (count > MAX_SECTIONS) reader.fail('sections', 6, `more than ${MAX_SECTIONS}`)
  reader.u32le('time')
  const symbolTable = reader.u32le('symbol table')
  const strings = symbolTable + reader.u32le('symbols') * SYMBOL_BYTES
  const optionalSize = reader.u16le('optional header size')
  reader.u16le('characteristics')
  const optionalAt = pe + reader.offset
  const optional = reader.bytes(optionalSize, 'optional header')
  const sections = Array.from({ length: count }, () => readSection(reader))
  for (const { start, size } of sections)
    if (size > 0 && start + size > image.length)
      throw new FormatError(PE_FORMAT, 'section', start, 'outside of the file')
  return { optionalAt, optional, strings, sections }
}

function readSection(reader: ByteReader): PeSection {
  const name = reader.bytes(8, 'section name')
  const virtualSize = reader.u32le('virtual size')
  reader.u32le('address')
  const size = reader.u32le('section size')
  const start = reader.u32le('section offset')
  reader.bytes(16, 'section')
  return { name, virtualSize, size, start }
}
