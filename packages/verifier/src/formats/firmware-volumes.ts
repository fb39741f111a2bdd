/**
 * The volumes that OVMF unpacks into memory and measures (UEFI PI specification, volume 3): its PEI and its DXE volume, which stand in the code's first
 * volume as one LZMA section.
 */
import { FormatError } from '../bytes/format-error.ts'
import { ByteReader } from '../bytes/reader.ts'
import { guidFromBytes } from './guid.ts'
import { decodeLzma } from './lzma.ts'

const FORMAT = 'firmware volume'
const VOLUME = { lengthAt: 32, signatureAt: 40, headerLengthAt: 48, signature: '_FVH' } as const
const FILE_HEADER_BYTES = 24
const FILE_TYPE_VOLUME = 0x0b
const SECTION_GUIDED = 0x02
const SECTION_VOLUME = 0x17
const EXTENDED = 0xff_ffff
const LZMA_GUID = 'ee4e5898-3914-4259-9d6e-dc7bd79403cf'
const MAX_UNPACKED = 64 << 20
const MAX_PARTS = 1024

/**
 * @param code - OVMF's code, as flash holds it
 * @returns the volumes in their order, which is PEI, then DXE
 * @throws FormatError for firmware that is not made so
 */
export function unpackedVolumes(code: Uint8Array): Uint8Array[] {
  for (const file of files(volumeAt(code, 0)))
    for (const { type, body, content } of sections(file)) {
      if (type !== SECTION_GUIDED || guidFromBytes(body.subarray(0, 16)) !== LZMA_GUID) continue
      return [...sections(decodeLzma(content, MAX_UNPACKED))]
        .filter((section) => section.type === SECTION_VOLUME)
        .map((section) => volumeAt(section.body, 0))
    }
  throw new FormatError(FORMAT, 'files', 0, 'none holds packed volumes')
}

function volumeAt(bytes: Uint8Array, offset: number): Uint8Array {
  const reader = new ByteReader(FORMAT, bytes.subarray(offset))
  reader.bytes(VOLUME.lengthAt, 'header')
  const length = Number(reader.u64le('length'))
  const signature = new TextDecoder().decode(reader.bytes(4, 'signature'))
  if (signature !== VOLUME.signature) reader.fail('signature', VOLUME.signatureAt, 'not _FVH')
  if (length > bytes.length - offset) reader.fail('length', VOLUME.lengthAt, `${length}`)
  return bytes.subarray(offset, offset + length)
}

/** Contents of the files that hold volumes. */
function* files(volume: Uint8Array): Generator<Uint8Array> {
  const view = new DataView(volume.buffer, volume.byteOffset, volume.byteLength)
  let at = view.getUint16(VOLUME.headerLengthAt, true)
  for (let count = 0; count < MAX_PARTS; count++) {
    at = Math.ceil(at / 8) * 8
    if (at + FILE_HEADER_BYTES > volume.length) return
    const size = uint24(view, at + 20)
    // What is erased follows the last file.
    if (size === EXTENDED || size < FILE_HEADER_BYTES || at + size > volume.length) return
    if (view.getUint8(at + 18) === FILE_TYPE_VOLUME)
      yield volume.subarray(at + FILE_HEADER_BYTES, at + size)
    at += size
  }
}

interface Section {
  readonly type: number
  /** Behind the common header. */
  readonly body: Uint8Array
  /** Of a GUIDed section: what its GUID says how to read. */
  readonly content: Uint8Array
}

function* sections(bytes: Uint8Array): Generator<Section> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = 0
  for (let count = 0; count < MAX_PARTS && at + 4 <= bytes.length; count++) {
    const short = uint24(view, at)
    const header = short === EXTENDED ? 8 : 4
    if (at + header > bytes.length) return
    const size = short === EXTENDED ? view.getUint32(at + 4, true) : short
    if (size < header || at + size > bytes.length) return
    const type = view.getUint8(at + 3)
    const body = bytes.subarray(at + header, at + size)
    const isGuided = type === SECTION_GUIDED && body.length >= 20
    const start = isGuided ? view.getUint16(at + header + 16, true) : header
    if (start > size) throw new FormatError(FORMAT, 'section', at, 'begins behind its end')
    yield { type, body, content: bytes.subarray(at + start, at + size) }
    at = Math.ceil((at + size) / 4) * 4
  }
}

function uint24(view: DataView, at: number): number {
  return view.getUint16(at, true) | (view.getUint8(at + 2) << 16)
}
