/** Makes small ELF files for tests: only what says which libraries are needed. */

const HEADER_BYTES = 0x40
const SECTION_BYTES = 0x40
const DYNAMIC_BYTES = 16
const TYPE_STRINGS = 3
const TYPE_DYNAMIC = 6
const TAG_NEEDED = 1n

/** A 64-bit little-endian ELF file with a dynamic section that names `needed`. */
export function elfFile(needed: readonly string[]): Buffer {
  const names = Buffer.from(`\0${needed.map((name) => `${name}\0`).join('')}`)
  const dynamic = Buffer.alloc((needed.length + 1) * DYNAMIC_BYTES)
  let nameOffset = 1
  for (const [index, name] of needed.entries()) {
    dynamic.writeBigInt64LE(TAG_NEEDED, index * DYNAMIC_BYTES)
    dynamic.writeBigUInt64LE(BigInt(nameOffset), index * DYNAMIC_BYTES + 8)
    nameOffset += name.length + 1
  }
  const namesAt = HEADER_BYTES + 3 * SECTION_BYTES
  const header = Buffer.alloc(HEADER_BYTES)
  header.write('\x7fELF\x02\x01\x01', 'latin1')
  header.writeBigUInt64LE(BigInt(HEADER_BYTES), 0x28)
  header.writeUInt16LE(SECTION_BYTES, 0x3a)
  header.writeUInt16LE(3, 0x3c)
  return Buffer.concat([
    header,
    Buffer.alloc(SECTION_BYTES),
    section(TYPE_STRINGS, namesAt, names.length, 0),
    section(TYPE_DYNAMIC, namesAt + names.length, dynamic.length, 1),
    names,
    dynamic,
  ])
}

function section(type: number, offset: number, size: number, link: number): Buffer {
  const bytes = Buffer.alloc(SECTION_BYTES)
  bytes.writeUInt32LE(type, 4)
  bytes.writeBigUInt64LE(BigInt(offset), 0x18)
  bytes.writeBigUInt64LE(BigInt(size), 0x20)
  bytes.writeUInt32LE(link, 0x28)
  return bytes
}
