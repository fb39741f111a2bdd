/**
 * The tables in an OVMF image that launch measurement needs: the GUIDed table that ends 32 bytes before the end of the file, and
 * the SEV metadata it points to. Offsets there count from the end of the file.
 */
import { FormatError } from '../bytes/format-error.ts'
import { ByteReader } from '../bytes/reader.ts'
import { guidFromBytes } from './guid.ts'

const FORMAT = 'OVMF'
const PAGE = 4096
const MAX_SECTIONS = 64
const TABLE_END = 32
const ENTRY_HEADER = 18
const METADATA_MAGIC = 0x56455341

export const OVMF_GUID = {
  footer: '96b582de-1fb2-45f7-baea-a366c55a082d',
  apReset: '00f771de-1a7e-4fcb-890e-68c77e2fb44e',
  hashTable: '7255371f-3a3b-4b04-927b-1da6efa8d454',
  launchSecret: '4c2eb361-7d9b-4cc3-8081-127c90d3d294',
  sevMetadata: 'dc886566-984a-4798-a75e-5585a7bf67cc',
  tdxMetadata: 'e47a6535-984a-4798-865e-4685a7bf8ec2',
} as const

export interface SevSection {
  readonly gpa: number
  readonly size: number
  /** 1 memory, 2 secrets, 3 CPUID, 4 SVSM calling area, 0x10 kernel hashes. */
  readonly type: number
}

export interface OvmfMetadata {
  /** Entries of the GUIDed table by GUID. */
  readonly table: ReadonlyMap<string, Uint8Array>
  /** In file order; empty for firmware without SEV metadata. */
  readonly sections: readonly SevSection[]
  /** Where application processors start under SEV-ES and SNP; undefined when the firmware does not say. */
  readonly apResetAddress: number | undefined
  /** Guest-physical address of the kernel hash table; undefined or 0 when the firmware has no room for one. */
  readonly hashTableAddress: number | undefined
}

/** @throws FormatError when the file is not whole pages, or its tables point outside of it */
export function parseOvmf(firmware: Uint8Array): OvmfMetadata {
  if (firmware.length === 0 || firmware.length % PAGE !== 0)
    throw new FormatError(FORMAT, 'length', 0, `${firmware.length} bytes is not whole pages`)
  const table = readTable(firmware)
  return {
    table,
    sections: readSections(firmware, table.get(OVMF_GUID.sevMetadata)),
    apResetAddress: firstU32(table.get(OVMF_GUID.apReset)),
    hashTableAddress: firstU32(table.get(OVMF_GUID.hashTable)),
  }
}

/** Entries run backwards: data, u16 length of data and header, GUID. */
function readTable(firmware: Uint8Array): Map<string, Uint8Array> {
  const table = new Map<string, Uint8Array>()
  const end = firmware.length - TABLE_END
  const footer = readEntryHeader(firmware, end)
  if (footer.guid !== OVMF_GUID.footer) return table
  const start = end - footer.length
  if (footer.length < ENTRY_HEADER || start < 0)
    throw new FormatError(FORMAT, 'table length', end, `${footer.length} bytes`)
  let cursor = end - ENTRY_HEADER
  while (cursor > start) {
    const { guid, length } = readEntryHeader(firmware, cursor)
    if (length < ENTRY_HEADER || cursor - length < start)
      throw new FormatError(FORMAT, 'table entry', cursor, `length ${length}`)
    if (table.has(guid)) throw new FormatError(FORMAT, 'table entry', cursor, `${guid} twice`)
    table.set(guid, firmware.subarray(cursor - length, cursor - ENTRY_HEADER))
    cursor -= length
  }
  return table
}

function readEntryHeader(firmware: Uint8Array, end: number): { guid: string; length: number } {
  const start = end - ENTRY_HEADER
  if (start < 0) throw new FormatError(FORMAT, 'table entry', end, 'before the start of the file')
  const reader = new ByteReader(FORMAT, firmware.subarray(start, end))
  const length = reader.u16le('length')
  return { guid: guidFromBytes(reader.bytes(16, 'guid')), length }
}

function readSections(firmware: Uint8Array, pointer: Uint8Array | undefined): SevSection[] {
  const fromEnd = firstU32(pointer)
  if (fromEnd === undefined) return []
  const start = firmware.length - fromEnd
  if (start < 0) throw new FormatError(FORMAT, 'SEV metadata', fromEnd, 'outside of the file')
  const reader = new ByteReader('OVMF SEV metadata', firmware.subarray(start))
  if (reader.u32le('magic') !== METADATA_MAGIC) reader.fail('magic', 0, 'not ASEV')
  reader.u32le('size')
  if (reader.u32le('version') !== 1) reader.fail('version', 8, 'not 1')
  const count = reader.u32le('count')
  if (count > MAX_SECTIONS) reader.fail('count', 12, `more than ${MAX_SECTIONS}`)
  return Array.from({ length: count }, () => {
    const at = reader.offset
    const gpa = reader.u32le('gpa')
    const size = reader.u32le('size')
    const type = reader.u32le('type')
    if (gpa % PAGE !== 0 || size % PAGE !== 0) reader.fail('section', at, 'not whole pages')
    return { gpa, size, type }
  })
}

function firstU32(data: Uint8Array | undefined): number | undefined {
  return data === undefined ? undefined : new ByteReader(FORMAT, data).u32le('address')
}
