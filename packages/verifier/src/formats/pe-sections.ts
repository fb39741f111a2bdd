/** Sections of a PE image by name, also long names as GNU's tools write them: `/` and an offset into the string table (PE/COFF, 3.4 and 4). */
import { FormatError } from '../bytes/format-error.ts'
import { ByteReader } from '../bytes/reader.ts'

const FORMAT = 'PE image'
const MAX_SECTIONS = 96
const SYMBOL_BYTES = 18
const MAX_NAME = 64

/** @throws FormatError */
export function peSections(image: Uint8Array): ReadonlyMap<string, Uint8Array> {
  const dos = new ByteReader(FORMAT, image)
  dos.bytes(60, 'DOS header')
  const pe = dos.u32le('e_lfanew')
  if (pe > image.length) dos.fail('e_lfanew', 60, 'outside of the file')
  const reader = new ByteReader(FORMAT, image.subarray(pe))
  if (reader.u32le('signature') !== 0x4550) reader.fail('signature', 0, 'not PE')
  reader.u16le('machine')
  const count = reader.u16le('sections')
  if (count > MAX_SECTIONS) reader.fail('sections', 6, `more than ${MAX_SECTIONS}`)
  reader.u32le('time')
  const symbolTable = reader.u32le('symbol table')
  const strings = symbolTable + reader.u32le('symbols') * SYMBOL_BYTES
  const optionalSize = reader.u16le('optional header size')
  reader.bytes(2 + optionalSize, 'headers')
  const found = new Map<string, Uint8Array>()
  for (let index = 0; index < count; index++) {
    const name = plainName(reader.bytes(8, 'section name'))
    const virtualSize = reader.u32le('virtual size')
    reader.u32le('address')
    const size = reader.u32le('section size')
    const start = reader.u32le('section offset')
    reader.bytes(16, 'section')
    if (start + size > image.length)
      throw new FormatError(FORMAT, 'section', start, 'outside of the file')
    const content = image.subarray(start, start + Math.min(size, virtualSize))
    found.set(name.startsWith('/') ? stringAt(image, strings, name) : name, content)
  }
  return found
}

function stringAt(image: Uint8Array, strings: number, name: string): string {
  const offset = Number(name.slice(1))
  if (!Number.isInteger(offset)) return name
  return plainName(image.subarray(strings + offset, strings + offset + MAX_NAME))
}

function plainName(bytes: Uint8Array): string {
  const end = bytes.indexOf(0)
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end))
}
