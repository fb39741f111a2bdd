/**
 * SMBIOS tables as EDK2 measures them (MdeModulePkg, SmbiosMeasurementDxe): serial numbers and the like are blanked, for they say nothing of what kind
 * of machine it is. A table is a header of type, length and handle, fields up to that length, then strings, each with a NUL, and one more.
 */
import { FormatError } from '../bytes/format-error.ts'

const FORMAT = 'SMBIOS tables'
const HEADER = 4
const END_OF_TABLE = 127
const FIRST_OEM = 128
const SPACE = 0x20

/** Offset and size; a `string` is the number of one. */
type Field = readonly [offset: number, size: number, kind?: 'string']

/** `all`: everything behind the header. */
const BLANKED: Readonly<Record<number, readonly Field[] | 'all'>> = {
  // Serial number; UUID; wake-up type.
  1: [
    [0x07, 1, 'string'],
    [0x08, 16],
    [0x18, 1],
  ],
  // Serial number; location in the chassis.
  2: [
    [0x07, 1, 'string'],
    [0x0a, 1],
  ],
  // Serial number; asset tag.
  3: [
    [0x07, 1, 'string'],
    [0x08, 1, 'string'],
  ],
  // Serial number, asset tag, part number; counts of cores and threads; voltage. Not: the processor's signature and features.
  4: [
    [0x20, 1, 'string'],
    [0x21, 1, 'string'],
    [0x22, 1, 'string'],
    [0x23, 1],
    [0x24, 1],
    [0x25, 1],
    [0x2a, 2],
    [0x2c, 2],
    [0x2e, 2],
    [0x11, 1],
  ],
  11: 'all',
  15: 'all',
  17: [
    [0x18, 1, 'string'],
    [0x19, 1, 'string'],
    [0x1a, 1, 'string'],
  ],
  18: 'all',
  22: [
    [0x07, 1, 'string'],
    [0x10, 2],
    [0x12, 2],
  ],
  23: [[0x05, 2]],
  27: [[0x0c, 2]],
  31: 'all',
  33: 'all',
  39: [
    [0x08, 1, 'string'],
    [0x09, 1, 'string'],
    [0x0a, 1, 'string'],
  ],
}

/**
 * What is measured of the tables.
 *
 * @param tables - from the first table on; what stands behind the one that ends them is left out
 * @throws FormatError
 */
export function measuredSmbios(tables: Uint8Array): Uint8Array {
  const measured = Uint8Array.from(tables)
  for (let at = 0; ;) {
    const size = tableSize(measured, at)
    const table = measured.subarray(at, at + size)
    blank(table)
    at += size
    if (table[0] === END_OF_TABLE) return measured.subarray(0, at)
  }
}

const PROCESSOR = { type: 4, id: 8, idBytes: 8 } as const

/**
 * The tables of the same machine with other processors.
 *
 * @param id - 8 bytes: signature and features (CPUID, leaf 1, EAX and EDX), as `dmidecode -t processor` prints it
 * @throws FormatError; RangeError for an id of another length
 */
export function withProcessorId(tables: Uint8Array, id: Uint8Array): Uint8Array {
  if (id.length !== PROCESSOR.idBytes) throw new RangeError('an id of processors has 8 bytes')
  const changed = Uint8Array.from(tables)
  for (let at = 0; changed[at] !== END_OF_TABLE;) {
    const size = tableSize(changed, at)
    const hasId = (changed[at + 1] ?? 0) >= PROCESSOR.id + PROCESSOR.idBytes
    if (changed[at] === PROCESSOR.type && hasId) changed.set(id, at + PROCESSOR.id)
    at += size
  }
  return changed
}

/** With its strings and the NULs that end them. */
function tableSize(tables: Uint8Array, at: number): number {
  const length = tables[at + 1] ?? 0
  if (length < HEADER || at + length > tables.length)
    throw new FormatError(FORMAT, 'length', at, `${length}`)
  for (let end = at + length; end + 1 < tables.length; end++)
    if (tables[end] === 0 && tables[end + 1] === 0) return end + 2 - at
  throw new FormatError(FORMAT, 'strings', at, 'do not end')
}

function blank(table: Uint8Array): void {
  const [type = 0, length = 0] = table
  const fields = type >= FIRST_OEM ? 'all' : BLANKED[type]
  if (fields === undefined) return
  if (fields === 'all') {
    table.fill(0, HEADER)
    return
  }
  for (const [offset, size, kind] of fields) {
    if (length < offset + size) continue
    if (kind === 'string') blankString(table, length, table[offset] ?? 0)
    table.fill(0, offset, offset + size)
  }
}

/** Of a number that is too high the firmware blanks the last. */
function blankString(table: Uint8Array, length: number, number: number): void {
  if (number === 0) return
  let start = length
  for (let index = 1; ; index++) {
    const end = table.indexOf(0, start)
    if (end === start) return
    if (index === number || table[end + 1] === 0) {
      table.fill(SPACE, start, end)
      return
    }
    start = end + 1
  }
}
