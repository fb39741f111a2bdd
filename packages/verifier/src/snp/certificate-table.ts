/**
 * The certificate table of an SNP extended report (AMD GHCB 56421): unauthenticated data of the host. Entries of GUID, offset
 * and length, then a zero entry, then the contents.
 */
import { toHex, fromHex } from '../bytes/hex.ts'
import { ByteReader, isZero } from '../bytes/reader.ts'

const FORMAT = 'SNP certificate table'
const ENTRY_SIZE = 24
const MAX_ENTRIES = 32

export const TABLE_GUID = {
  ark: 'c0b406a4-a803-4952-9743-3fb6014cd0ae',
  ask: '4ab7b379-bbac-4fe4-a02f-05aef327c782',
  vcek: '63da758d-e664-4564-adc5-f4b93be8accd',
  vlek: 'a8074bc2-a25a-483e-aae6-39c045a0b8a1',
  crl: '92f81bc3-5811-4d3d-97ff-d19f88dc67ea',
  platformInfo: 'ecae0c0f-9502-43b1-afa2-0ae2e0d565b6',
} as const

export interface TableEntry {
  /** Text form, lowercase. */
  readonly guid: string
  readonly data: Uint8Array
}

/** Entries in order; an empty table may lack its terminator. @throws FormatError; a GUID given twice is an error */
export function parseCertificateTable(bytes: Uint8Array): TableEntry[] {
  const reader = new ByteReader(FORMAT, bytes)
  const places: { guid: string; offset: number; length: number }[] = []
  if (bytes.length === 0) return []
  for (;;) {
    const at = reader.offset
    const entry = reader.bytes(ENTRY_SIZE, 'entry')
    if (isZero(entry)) break
    if (places.length === MAX_ENTRIES) reader.fail('entries', at, `more than ${MAX_ENTRIES}`)
    const fields = new ByteReader(FORMAT, entry)
    const guid = guidText(fields.bytes(16, 'guid'))
    if (places.some((place) => place.guid === guid)) reader.fail('guid', at, 'twice')
    places.push({ guid, offset: fields.u32le('offset'), length: fields.u32le('length') })
  }
  const contentsStart = reader.offset
  return places.map(({ guid, offset, length }) => {
    // Sums of two u32 are exact in a double, so nothing overflows here.
    if (offset < contentsStart || offset + length > bytes.length)
      reader.fail('offset', offset, 'outside the table')
    return { guid, data: bytes.subarray(offset, offset + length) }
  })
}

export function encodeCertificateTable(entries: readonly TableEntry[]): Uint8Array<ArrayBuffer> {
  const header = (entries.length + 1) * ENTRY_SIZE
  const size = entries.reduce((sum, { data }) => sum + data.length, header)
  const bytes = new Uint8Array(size)
  const view = new DataView(bytes.buffer)
  let offset = header
  for (const [index, { guid, data }] of entries.entries()) {
    bytes.set(fromHex(guid.replaceAll('-', '')), index * ENTRY_SIZE)
    view.setUint32(index * ENTRY_SIZE + 16, offset, true)
    view.setUint32(index * ENTRY_SIZE + 20, data.length, true)
    bytes.set(data, offset)
    offset += data.length
  }
  return bytes
}

function guidText(bytes: Uint8Array): string {
  const hex = toHex(bytes)
  return [[0, 8], [8, 12], [12, 16], [16, 20], [20]].map((range) => hex.slice(...range)).join('-')
}
