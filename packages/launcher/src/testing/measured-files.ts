/** Small files in the formats that launches measure. Only for tests. */
import { guidToBytes } from '@cloister/verifier/formats/guid'
import { OVMF_GUID } from '@cloister/verifier/formats/ovmf'

const PAGE = 4096

/** Firmware of one page: a GUIDed table with these entries, ending 32 bytes before the end. */
function firmware(entries: readonly (readonly [string, Uint8Array])[], tail?: Uint8Array) {
  const bytes = new Uint8Array(PAGE)
  const table = Buffer.concat(
    entries.map(([guid, data]) => Buffer.concat([data, header(data.length + 18, guid)])),
  )
  const footer = header(table.length + 18, OVMF_GUID.footer)
  const end = PAGE - 32
  bytes.set(footer, end - footer.length)
  bytes.set(table, end - footer.length - table.length)
  if (tail !== undefined) bytes.set(tail, 0)
  return bytes
}

function header(length: number, guid: string): Buffer {
  const size = Buffer.alloc(2)
  size.writeUInt16LE(length)
  return Buffer.concat([size, guidToBytes(guid)])
}

function u32(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4)
  for (const [index, value] of values.entries()) bytes.writeUInt32LE(value, index * 4)
  return bytes
}

/** With reset address, room for kernel hashes, and SEV metadata with that one section. */
export function amdSevFirmware(): Uint8Array {
  const hashes = 0x810000
  // `ASEV`, size, version, one section: address, size, type of kernel hashes.
  const metadata = u32(0x56455341, 28, 1, 1, hashes, PAGE, 0x10)
  return firmware(
    [
      [OVMF_GUID.sevMetadata, u32(PAGE)],
      [OVMF_GUID.hashTable, u32(hashes + 0xc00, 0x400)],
      [OVMF_GUID.launchSecret, u32(hashes, 0xc00)],
      [OVMF_GUID.apReset, u32(0x80b004)],
    ],
    metadata,
  )
}

/** Where its descriptor stands; a GUID is in front of it. */
const TDVF_AT = 0x110

/** With one section: a page of zeros at 8 MiB, added and measured. */
export function tdxFirmware(): Uint8Array {
  const found = firmware([[OVMF_GUID.tdxMetadata, u32(PAGE - TDVF_AT)]])
  found.set(guidToBytes('e9eaf9f3-168e-44d5-a8eb-7f4d8738f6ae'), TDVF_AT - 16)
  // `TDVF`, length, version, count; then offset, size, address, size in memory, type TEMP_MEM, MR.EXTEND.
  const section = [0, 0, 0x80_0000, 0, PAGE, 0, 3, 1]
  found.set(u32(0x46564454, 48, 1, 1, ...section), TDVF_AT)
  return found
}

/** The smallest PE32+ image that has an Authenticode digest: headers of one page and nothing else. */
export function efiKernel(): Uint8Array {
  const image = Buffer.alloc(PAGE)
  image.write('MZ', 'latin1')
  image.writeUInt32LE(0x80, 0x3c)
  image.write('PE\0\0', 0x80, 'latin1')
  image.writeUInt16LE(0x8664, 0x84)
  // Size of the optional header, which begins at 0x98; its magic, size of headers and number of data directories.
  image.writeUInt16LE(0xf0, 0x94)
  image.writeUInt16LE(0x20b, 0x98)
  image.writeUInt32LE(PAGE, 0x98 + 60)
  image.writeUInt32LE(16, 0x98 + 108)
  return image
}

/** EFI_CC_MEASUREMENT_PROTOCOL_GUID, as code that measures into RTMRs holds it. */
const CC_MEASUREMENT = guidToBytes('96751a3d-72f4-41a6-a794-ed5d0e67ae6b')

/** The contents of {@link unifiedKernel}, by section. */
export function unifiedParts(): Record<'.text' | '.linux' | '.cmdline' | '.initrd', Buffer> {
  const code = Buffer.from(CC_MEASUREMENT)
  return {
    '.text': code,
    '.linux': Buffer.concat([efiKernel(), code]),
    '.cmdline': Buffer.from('quiet'),
    '.initrd': Buffer.from('initrd--'),
  }
}

/** A unified kernel image that no processor could run: headers of one page, and these sections behind it. */
export function unifiedKernel(parts: Readonly<Record<string, Buffer>> = unifiedParts()): Buffer {
  const headers = Buffer.from(efiKernel())
  headers.writeUInt16LE(Object.keys(parts).length, 0x86)
  let offset = PAGE
  for (const [index, [name, { length }]] of Object.entries(parts).entries()) {
    const header = 0x188 + index * 40
    headers.write(name, header, 'latin1')
    headers.writeUInt32LE(length, header + 8)
    headers.writeUInt32LE(length, header + 16)
    headers.writeUInt32LE(offset, header + 20)
    offset += length
  }
  return Buffer.concat([headers, ...Object.values(parts)])
}

/** A Secure Execution image with an empty body: digests of ones, twos and threes, a tag of fours. */
export function seImage(): Uint8Array {
  const image = Buffer.alloc(0xe000)
  image.write('SeImgLnx', 0xc000, 'latin1')
  image.writeBigUInt64BE(0xd000n, 0xc008)
  image.writeUInt32BE(1, 0xc010)
  const size = 416 + 80 + 16
  image.write('IBMSecEx', 0xd000, 'latin1')
  image.writeUInt32BE(0x100, 0xd008)
  image.writeUInt32BE(size, 0xd00c)
  for (const [index, at] of [224, 288, 352].entries())
    image.fill(index + 1, 0xd000 + at, 0xd000 + at + 64)
  image.fill(4, 0xd000 + size - 16, 0xd000 + size)
  return image
}
