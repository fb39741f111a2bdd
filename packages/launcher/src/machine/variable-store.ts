/**
 * The flash in which OVMF keeps UEFI variables: a firmware volume that holds one authenticated variable store (EDK2,
 * MdePkg/Include/Pi/PiFirmwareVolume.h and MdeModulePkg/Include/Guid/VariableFormat.h). Little-endian; what is erased is 0xFF. The areas behind
 * the store (event log, fault-tolerant write) are taken as they are.
 */
import { concatBytes } from '@cloister/verifier/bytes/concat'
import { ByteReader } from '@cloister/verifier/bytes/reader'
import { guidFromBytes, guidToBytes } from '@cloister/verifier/formats/guid'

const FORMAT = 'UEFI variable store'
/** EFI_FIRMWARE_VOLUME_HEADER. */
const VOLUME = {
  fileSystem: 'fff12b8d-7696-4c8b-a985-2747075b4f50',
  /** "_FVH". */
  signature: 0x4856465f,
  revision: 2,
} as const
/** VARIABLE_STORE_HEADER, 28 bytes. */
const STORE = {
  signature: 'aaf32c78-947b-439a-a180-2e144ec37792',
  formatted: 0x5a,
  healthy: 0xfe,
  size: 28,
} as const
/** AUTHENTICATED_VARIABLE_HEADER, 60 bytes, packed; name and data follow, and padding to 4. */
const VARIABLE = { startId: 0x55aa, size: 60, align: 4 } as const
/** `State`: bits are cleared one after another as a variable is written and deleted. */
const STATE = { added: 0x3f, inDeletedTransition: 0x3e } as const
const MAX_STORE_BYTES = 16 << 20
const ERASED = 0xff

export const ATTRIBUTE = { nonVolatile: 1, bootService: 2, runtime: 4, timeBased: 0x20 } as const

export interface UefiVariable {
  readonly name: string
  /** Vendor GUID as text. */
  readonly vendor: string
  /** See {@link ATTRIBUTE}. */
  readonly attributes: number
  /** EFI_TIME of the last authenticated write, 16 bytes; zeros for a variable of another kind. */
  readonly timestamp: Uint8Array
  readonly data: Uint8Array
}

interface Layout {
  /** Where the store's header starts. */
  readonly store: number
  /** Behind the store. */
  readonly end: number
}

/** The variables that are valid, in the order of the flash. @throws FormatError */
export function parseVariableStore(flash: Uint8Array): UefiVariable[] {
  const { store, end } = parseLayout(flash)
  const variables: UefiVariable[] = []
  for (let offset = align(store + STORE.size); offset + 2 <= end;) {
    const reader = new ByteReader(FORMAT, flash.subarray(offset, end))
    if (reader.u16le('startId') !== VARIABLE.startId) break
    const { state, variable } = parseVariable(reader)
    if (state === STATE.added || state === STATE.inDeletedTransition) variables.push(variable)
    offset = align(offset + reader.offset)
  }
  return variables
}

/** From behind the start id. */
function parseVariable(reader: ByteReader): { state: number; variable: UefiVariable } {
  const state = reader.u8('state')
  reader.u8('reserved')
  const attributes = reader.u32le('attributes')
  reader.u64le('monotonicCount')
  const timestamp = reader.bytes(16, 'timeStamp')
  reader.u32le('pubKeyIndex')
  const nameSize = reader.u32le('nameSize')
  const dataSize = reader.u32le('dataSize')
  const vendor = guidFromBytes(reader.bytes(16, 'vendorGuid'))
  const start = reader.offset
  const name = reader.bytes(nameSize, 'name')
  if (nameSize < 2 || nameSize % 2 !== 0 || name.at(-1) !== 0 || name.at(-2) !== 0)
    reader.fail('name', start, 'it does not end in NUL')
  const data = reader.bytes(dataSize, 'data')
  const text = Buffer.from(name.subarray(0, -2)).toString('utf16le')
  return { state, variable: { name: text, vendor, attributes, timestamp, data } }
}

/** @throws FormatError */
function parseLayout(flash: Uint8Array): Layout {
  const reader = new ByteReader(FORMAT, flash)
  reader.zeros(16, 'zeroVector')
  if (guidFromBytes(reader.bytes(16, 'fileSystemGuid')) !== VOLUME.fileSystem)
    reader.fail('fileSystemGuid', 16, 'no volume of variables')
  if (reader.u64le('fvLength') !== BigInt(flash.length) || flash.length > MAX_STORE_BYTES)
    reader.fail('fvLength', 32, 'not the length of the file')
  if (reader.u32le('signature') !== VOLUME.signature) reader.fail('signature', 40, 'no _FVH')
  reader.u32le('attributes')
  const headerLength = reader.u16le('headerLength')
  if (headerLength < 0x48 || headerLength % 2 !== 0 || headerLength > flash.length)
    reader.fail('headerLength', 48, 'out of range')
  if (sum16(flash.subarray(0, headerLength)) !== 0) reader.fail('checksum', 50, 'wrong')
  const store = new ByteReader(FORMAT, flash.subarray(headerLength))
  if (guidFromBytes(store.bytes(16, 'storeSignature')) !== STORE.signature)
    store.fail('storeSignature', 0, 'no authenticated variables')
  const size = store.u32le('storeSize')
  if (size < STORE.size || size > flash.length - headerLength)
    store.fail('storeSize', 16, 'beyond the volume')
  if (store.u8('storeFormat') !== STORE.formatted || store.u8('storeState') !== STORE.healthy)
    store.fail('storeFormat', 20, 'not formatted or not healthy')
  return { store: headerLength, end: headerLength + size }
}

function sum16(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let sum = 0
  for (let at = 0; at < bytes.length; at += 2) sum = (sum + view.getUint16(at, true)) & 0xffff
  return sum
}

/**
 * A store with exactly these variables.
 *
 * @param template - a store of the same firmware, whose headers and other areas are kept
 * @throws FormatError for an unfit template
 * @throws RangeError when they do not fit
 */
export function encodeVariableStore(
  template: Uint8Array,
  variables: readonly UefiVariable[],
): Uint8Array {
  const { store, end } = parseLayout(template)
  const flash = Uint8Array.from(template)
  let offset = align(store + STORE.size)
  flash.fill(ERASED, offset, end)
  for (const variable of variables) {
    const bytes = encodeVariable(variable)
    // The firmware needs room to write variables of its own.
    if (offset + bytes.length > store + (end - store) / 2)
      throw new RangeError('the variables take more than half of the store')
    flash.set(bytes, offset)
    offset = align(offset + bytes.length)
  }
  return flash
}

function encodeVariable(variable: UefiVariable): Uint8Array {
  const name = Buffer.from(`${variable.name}\0`, 'utf16le')
  const header = new Uint8Array(VARIABLE.size)
  const view = new DataView(header.buffer)
  view.setUint16(0, VARIABLE.startId, true)
  view.setUint8(2, STATE.added)
  view.setUint32(4, variable.attributes, true)
  header.set(variable.timestamp, 16)
  view.setUint32(36, name.length, true)
  view.setUint32(40, variable.data.length, true)
  header.set(guidToBytes(variable.vendor), 44)
  return concatBytes(header, name, variable.data)
}

function align(offset: number): number {
  return Math.ceil(offset / VARIABLE.align) * VARIABLE.align
}
