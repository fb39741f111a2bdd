/**
 * A unified kernel image (UAPI Group, "Unified Kernel Image"): systemd's EFI stub with kernel, initrd and command line as sections of one PE file, so
 * that the one digest which firmware measures covers all of them. Microsoft PE format, "Optional Header" and "Section Table".
 */
import { FormatError } from '@cloister/verifier/bytes/format-error'

const FORMAT = 'EFI stub'

/** In the order in which they stand in the file. The stub finds them by name. */
export interface UnifiedKernelParts {
  /** systemd's `linuxx64.efi.stub`. */
  readonly stub: Uint8Array
  /** A kernel with an EFI stub of its own. */
  readonly kernel: Uint8Array
  readonly initrd: Uint8Array
  readonly commandLine: string
  /** As `uname -r` says it. */
  readonly release: string
}

/** Offsets from the PE signature, and sizes. */
const PE = {
  sections: 6,
  optionalSize: 20,
  optional: 24,
  magic: 24,
  initializedData: 32,
  sectionAlignment: 56,
  fileAlignment: 60,
  imageSize: 80,
  headersSize: 84,
  checksum: 88,
} as const
const PE32_PLUS = 0x20b
const PE_OFFSET_FIELD = 0x3c
const SECTION = {
  size: 40,
  virtualSize: 8,
  address: 12,
  rawSize: 16,
  rawOffset: 20,
  flags: 36,
} as const
const FLAGS = { data: 0x4000_0040, code: 0x6000_0020 } as const
const MAX_SECTIONS = 96

/**
 * The same parts give the same bytes.
 *
 * @throws FormatError when the stub is no PE image for x86_64, has a section of ours already, or has no room in its headers
 */
export function buildUnifiedKernel(parts: UnifiedKernelParts): Uint8Array {
  const stub = readStub(parts.stub)
  const text = new TextEncoder()
  const added = [
    { name: '.uname', content: text.encode(parts.release), flags: FLAGS.data },
    { name: '.cmdline', content: text.encode(parts.commandLine), flags: FLAGS.data },
    { name: '.initrd', content: parts.initrd, flags: FLAGS.data },
    // Last: the stub runs the kernel in place, and it grows beyond its file.
    { name: '.linux', content: parts.kernel, flags: FLAGS.code },
  ]
  for (const { name } of added)
    if (stub.names.includes(name)) throw new FormatError(FORMAT, name, 0, 'is there already')
  const headersEnd = stub.tableEnd + added.length * SECTION.size
  if (headersEnd > stub.headersSize || stub.names.length + added.length > MAX_SECTIONS)
    throw new FormatError(FORMAT, 'section table', stub.tableEnd, 'has no room for more')
  let address = aligned(stub.memoryEnd, stub.sectionAlignment)
  let offset = aligned(parts.stub.length, stub.fileAlignment)
  const placed = added.map((section) => {
    const place = { ...section, address, offset }
    address = aligned(address + section.content.length, stub.sectionAlignment)
    offset = aligned(offset + section.content.length, stub.fileAlignment)
    return place
  })
  if (address > 0xffff_ffff) throw new FormatError(FORMAT, 'size of image', 0, 'beyond 4 GiB')

  const image = new Uint8Array(offset)
  const view = new DataView(image.buffer)
  image.set(parts.stub)
  let grown = view.getUint32(stub.pe + PE.initializedData, true)
  for (const [index, { name, content, flags, address, offset }] of placed.entries()) {
    const header = stub.tableEnd + index * SECTION.size
    const rawSize = aligned(content.length, stub.fileAlignment)
    image.set(text.encode(name), header)
    view.setUint32(header + SECTION.virtualSize, content.length, true)
    view.setUint32(header + SECTION.address, address, true)
    view.setUint32(header + SECTION.rawSize, rawSize, true)
    view.setUint32(header + SECTION.rawOffset, offset, true)
    view.setUint32(header + SECTION.flags, flags, true)
    image.set(content, offset)
    grown += rawSize
  }
  view.setUint16(stub.pe + PE.sections, stub.names.length + added.length, true)
  view.setUint32(stub.pe + PE.initializedData, grown, true)
  view.setUint32(stub.pe + PE.imageSize, address, true)
  view.setUint32(stub.pe + PE.checksum, peChecksum(image, stub.pe + PE.checksum), true)
  return image
}

interface Stub {
  /** Offset of the PE signature. */
  readonly pe: number
  readonly names: readonly string[]
  /** Where the next section header would stand. */
  readonly tableEnd: number
  readonly headersSize: number
  readonly sectionAlignment: number
  readonly fileAlignment: number
  /** The first address behind all sections. */
  readonly memoryEnd: number
}

function readStub(stub: Uint8Array): Stub {
  const view = new DataView(stub.buffer, stub.byteOffset, stub.length)
  const fail = (field: string, offset: number, problem: string) =>
    new FormatError(FORMAT, field, offset, problem)
  if (stub.length < 64 || view.getUint16(0, true) !== 0x5a4d) throw fail('e_magic', 0, 'not MZ')
  const pe = view.getUint32(PE_OFFSET_FIELD, true)
  if (pe + PE.checksum + 4 > stub.length || view.getUint32(pe, true) !== 0x4550)
    throw fail('signature', pe, 'not PE')
  if (view.getUint16(pe + PE.magic, true) !== PE32_PLUS) throw fail('magic', pe, 'not PE32+')
  const count = view.getUint16(pe + PE.sections, true)
  const table = pe + PE.optional + view.getUint16(pe + PE.optionalSize, true)
  const tableEnd = table + count * SECTION.size
  if (tableEnd > stub.length) throw fail('section table', table, 'outside of the file')
  const headers = Array.from({ length: count }, (_, index) => table + index * SECTION.size)
  const sectionAlignment = view.getUint32(pe + PE.sectionAlignment, true)
  const fileAlignment = view.getUint32(pe + PE.fileAlignment, true)
  if (!isPowerOfTwo(sectionAlignment) || !isPowerOfTwo(fileAlignment))
    throw fail('alignment', pe + PE.sectionAlignment, 'no power of two')
  const ends = headers.map((at) =>
    Math.max(
      view.getUint32(at + SECTION.address, true) + view.getUint32(at + SECTION.virtualSize, true),
      view.getUint32(at + SECTION.address, true) + view.getUint32(at + SECTION.rawSize, true),
    ),
  )
  return {
    pe,
    names: headers.map((at) => nameAt(stub, at)),
    tableEnd,
    headersSize: view.getUint32(pe + PE.headersSize, true),
    sectionAlignment,
    fileAlignment,
    memoryEnd: Math.max(0, ...ends),
  }
}

function nameAt(stub: Uint8Array, offset: number): string {
  const name = stub.subarray(offset, offset + 8)
  const end = name.indexOf(0)
  return Buffer.from(end < 0 ? name : name.subarray(0, end)).toString('latin1')
}

function isPowerOfTwo(value: number): boolean {
  return value > 0 && (value & (value - 1)) === 0
}

function aligned(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment
}

/** The sum of all 16-bit words with the carry added, but for the field itself, and the length of the file (ImageHlp, CheckSumMappedFile). */
function peChecksum(image: Uint8Array, field: number): number {
  const words = new DataView(image.buffer, image.byteOffset, image.length)
  let sum = 0
  for (let offset = 0; offset < image.length; offset += 2) {
    if (offset === field || offset === field + 2) continue
    sum += offset + 1 < image.length ? words.getUint16(offset, true) : words.getUint8(offset)
    sum = (sum & 0xffff) + (sum >>> 16)
  }
  return sum + image.length
}
