/** Opaque data of an NVIDIA report: fields of u16 type, u16 size and value, little-endian. Names as in NVIDIA's attestation SDK. */
import { ByteReader } from '../bytes/reader.ts'
import { toHex } from '../bytes/hex.ts'
import { FormatError } from '../bytes/format-error.ts'

const FORMAT = 'NVIDIA opaque data'
const MAX_FIELDS = 64

/** Those that we read; others are kept by number. */
export const OPAQUE = {
  driverVersion: 3,
  gpuInfo: 4,
  vbiosVersion: 6,
  nvdec0Status: 11,
  measurementCounts: 12,
  cprInfo: 13,
  boardId: 14,
  chipSku: 15,
  chipSkuMod: 16,
  project: 17,
  projectSku: 18,
  projectSkuMod: 19,
  fwid: 20,
  protectedPcieStatus: 21,
  switchPdi: 22,
} as const

export type OpaqueData = ReadonlyMap<number, Uint8Array>

/** By type; none may stand twice. @throws FormatError */
export function readOpaqueData(bytes: Uint8Array): OpaqueData {
  const reader = new ByteReader(FORMAT, bytes)
  const fields = new Map<number, Uint8Array>()
  while (reader.left > 0) {
    const { offset } = reader
    const type = reader.u16le('type')
    if (fields.has(type) || fields.size === MAX_FIELDS)
      reader.fail('type', offset, 'twice, or too many')
    fields.set(type, reader.bytes(reader.u16le('size'), 'value'))
  }
  const fwid = fields.get(OPAQUE.fwid)
  if (fwid !== undefined && fwid.length !== 48)
    throw new FormatError(FORMAT, 'fwid', 0, `${fwid.length} bytes, wanted 48`)
  return fields
}

/** Printable ASCII up to the first NUL; null when absent or not printable. */
export function opaqueText(opaque: OpaqueData, type: number): string | null {
  const bytes = opaque.get(type)
  if (bytes === undefined) return null
  const end = bytes.indexOf(0)
  const text = end === -1 ? bytes : bytes.subarray(0, end)
  return text.every((byte) => byte >= 0x20 && byte < 0x7f) ? String.fromCharCode(...text) : null
}

export function opaqueHex(opaque: OpaqueData, type: number): string | null {
  const bytes = opaque.get(type)
  return bytes === undefined ? null : toHex(bytes)
}

/** Dotted, such as `96.00.9f.00.01`. GPUs write a little-endian word: four bytes of version and before them the last one; switches text. */
export function vbiosVersion(opaque: OpaqueData): string | null {
  const bytes = opaque.get(OPAQUE.vbiosVersion)
  if (bytes?.length !== 8) return opaqueText(opaque, OPAQUE.vbiosVersion)
  const parts = [3, 2, 1, 0, 4].map((index) => toHex(bytes.subarray(index, index + 1)))
  return parts.join('.')
}
