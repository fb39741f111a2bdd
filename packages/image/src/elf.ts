/**
 * Reads from an ELF file which libraries it needs (System V ABI, 64-bit little-endian: the file header, section headers of
 * type DYNAMIC, tags NEEDED). The files come from verified packages; a malformed one is an error, never a guess.
 */
import { CloisterError } from '@cloister/protocol/error'

const HEADER = {
  magic: 0,
  class: 4,
  data: 5,
  shoff: 0x28,
  shentsize: 0x3a,
  shnum: 0x3c,
  size: 0x40,
}
const SECTION = { type: 4, offset: 0x18, size: 0x20, link: 0x28 }
const MAGIC = 0x7f454c46
const CLASS_64 = 2
const LITTLE_ENDIAN = 1
const TYPE_DYNAMIC = 6
const TAG_NEEDED = 1n
const DYNAMIC_ENTRY_BYTES = 16

function isElf(bytes: Buffer): boolean {
  return bytes.length >= HEADER.size && bytes.readUInt32BE(HEADER.magic) === MAGIC
}

/**
 * The names in the NEEDED tags, in order; none for a static program.
 *
 * @param name - of the file, for the error
 * @throws CloisterError `guest-image.content-missing` for bytes that are no 64-bit little-endian ELF file
 */
export function neededLibraries(bytes: Buffer, name: string): string[] {
  const malformed = (why: string, cause?: unknown) =>
    new CloisterError('guest-image.content-missing', { where: name, why, cause })
  if (!isElf(bytes)) throw malformed('it is not an ELF file')
  if (bytes[HEADER.class] !== CLASS_64 || bytes[HEADER.data] !== LITTLE_ENDIAN)
    throw malformed('it is not a 64-bit little-endian ELF file')
  try {
    return readNeeded(bytes)
  } catch (cause) {
    throw malformed('its section headers point outside of the file', cause)
  }
}

function readNeeded(bytes: Buffer): string[] {
  const start = offset(bytes, HEADER.shoff)
  const entrySize = bytes.readUInt16LE(HEADER.shentsize)
  const count = bytes.readUInt16LE(HEADER.shnum)
  const section = (index: number) => start + index * entrySize
  const needed: string[] = []
  for (let index = 0; index < count; index++) {
    const header = section(index)
    if (bytes.readUInt32LE(header + SECTION.type) !== TYPE_DYNAMIC) continue
    const names = offset(bytes, section(bytes.readUInt32LE(header + SECTION.link)) + SECTION.offset)
    const first = offset(bytes, header + SECTION.offset)
    const end = first + offset(bytes, header + SECTION.size)
    for (let at = first; at < end; at += DYNAMIC_ENTRY_BYTES)
      if (bytes.readBigInt64LE(at) === TAG_NEEDED)
        needed.push(text(bytes, names + offset(bytes, at + 8)))
  }
  return needed
}

function offset(bytes: Buffer, at: number): number {
  return Number(bytes.readBigUInt64LE(at))
}

function text(bytes: Buffer, start: number): string {
  const end = bytes.indexOf(0, start)
  if (end < 0) throw new RangeError('a name without an end')
  return bytes.toString('latin1', start, end)
}
