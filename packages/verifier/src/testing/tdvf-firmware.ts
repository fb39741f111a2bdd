/** Tests only: a file of one page with the metadata of TDX firmware, and nothing that could run. */
import { guidToBytes } from '../formats/guid.ts'
import { OVMF_GUID } from '../formats/ovmf.ts'
import { TDVF_SECTION } from '../formats/tdvf.ts'
import type { TdvfSection } from '../formats/tdvf.ts'

const PAGE = 4096
const DESCRIPTOR = 0x200
const SECTION = 32
/** Of the table and of its one entry: behind the data their length and a GUID. */
const ENTRY_HEADER = 18
const TABLE_END = PAGE - 32

/** Memory that the firmware names, without data of the file. */
export function tdvfArea(type: number, gpa: bigint, size: bigint): TdvfSection {
  return { dataOffset: 0, dataSize: 0, gpa, size, type, measured: false, augmented: false }
}

/** @param volume - at most 512 bytes: the configuration volume, which stands first */
export function tdvfFirmware(volume: Uint8Array, areas: readonly TdvfSection[]): Uint8Array {
  const file = new Uint8Array(PAGE)
  const view = new DataView(file.buffer)
  file.set(volume)
  const sections: readonly TdvfSection[] = [
    {
      ...tdvfArea(TDVF_SECTION.configuration, 0xffff_f000n, BigInt(PAGE)),
      dataSize: volume.length,
    },
    ...areas,
  ]
  for (const [index, word] of [
    0x46564454,
    16 + sections.length * SECTION,
    1,
    sections.length,
  ].entries())
    view.setUint32(DESCRIPTOR + index * 4, word, true)
  for (const [index, section] of sections.entries()) {
    const at = DESCRIPTOR + 16 + index * SECTION
    view.setUint32(at, section.dataOffset, true)
    view.setUint32(at + 4, section.dataSize, true)
    view.setBigUint64(at + 8, section.gpa, true)
    view.setBigUint64(at + 16, section.size, true)
    view.setUint32(at + 24, section.type, true)
  }
  const entry = TABLE_END - ENTRY_HEADER
  const writeHeader = (end: number, length: number, guid: string) => {
    view.setUint16(end - ENTRY_HEADER, length, true)
    file.set(guidToBytes(guid), end - 16)
  }
  writeHeader(TABLE_END, 4 + ENTRY_HEADER * 2, OVMF_GUID.footer)
  writeHeader(entry, 4 + ENTRY_HEADER, OVMF_GUID.tdxMetadata)
  view.setUint32(entry - ENTRY_HEADER - 4, PAGE - DESCRIPTOR, true)
  return file
}
