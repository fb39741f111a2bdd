/** UEFI_VARIABLE_DATA of events, and the signature lists in Secure Boot variables (UEFI specification, 32.4.1). Little-endian. */
import { concatBytes } from '../bytes/concat.ts'
import { FormatError } from '../bytes/format-error.ts'
import { toHex } from '../bytes/hex.ts'
import { ByteReader } from '../bytes/reader.ts'
import { guidFromBytes, guidToBytes } from '../formats/guid.ts'

export interface UefiVariable {
  /** Lowercase GUID. */
  readonly vendor: string
  readonly name: string
  readonly data: Uint8Array
}

export interface SignatureEntry {
  readonly kind: 'x509' | 'sha256' | 'other'
  /** Lowercase GUID of who put it there. */
  readonly owner: string
  /** A certificate in DER, or a digest. */
  readonly data: Uint8Array
}

const X509 = 'a5c059a1-94e4-4aa7-87b5-ab155c2bf072'
const SHA256 = 'c1c41626-504c-4092-aca9-41f936934328'
const MAX_NAME = 1024
const MAX_ENTRIES = 16_384
const LIST_HEADER = 28
const OWNER = 16
/** EFI_TIME, then WIN_CERTIFICATE_UEFI_GUID. */
const TIME = 16
const CERTIFICATE_HEADER = 8
const UEFI_GUID_CERTIFICATE = 0x0ef1

/**
 * @param lengths - `any`: the data is what follows, whatever its length field says; old versions of shim fill that in wrongly
 * @throws FormatError
 */
export function parseUefiVariable(
  bytes: Uint8Array,
  lengths: 'exact' | 'any' = 'exact',
): UefiVariable {
  const reader = new ByteReader('UEFI variable', bytes)
  const vendor = guidFromBytes(reader.bytes(16, 'vendor'))
  const nameLength = reader.u64le('name length')
  const dataLength = reader.u64le('data length')
  if (nameLength > BigInt(MAX_NAME)) reader.fail('name length', 16, 'too long')
  const name = utf16(reader.bytes(Number(nameLength) * 2, 'name'))
  if (lengths === 'exact' && dataLength !== BigInt(reader.left))
    reader.fail('data length', 24, 'is not what follows')
  return { vendor, name, data: reader.rest() }
}

/** UEFI_VARIABLE_DATA, as {@link parseUefiVariable} reads it. @param variable - whose name is ASCII */
export function encodeUefiVariable({ vendor, name, data }: UefiVariable): Uint8Array {
  const lengths = new DataView(new ArrayBuffer(16))
  lengths.setBigUint64(0, BigInt(name.length), true)
  lengths.setBigUint64(8, BigInt(data.length), true)
  const wide = new Uint8Array(name.length * 2)
  for (let index = 0; index < name.length; index++) wide[index * 2] = name.charCodeAt(index)
  return concatBytes(guidToBytes(vendor), new Uint8Array(lengths.buffer), wide, data)
}

/** A run of EFI_SIGNATURE_LISTs. @throws FormatError */
export function parseSignatureLists(bytes: Uint8Array): SignatureEntry[] {
  const reader = new ByteReader('signature list', bytes)
  const entries: SignatureEntry[] = []
  while (reader.left > 0) {
    const start = reader.offset
    const type = guidFromBytes(reader.bytes(16, 'type'))
    const listSize = reader.u32le('list size')
    const headerSize = reader.u32le('header size')
    const size = reader.u32le('signature size')
    const body = listSize - LIST_HEADER - headerSize
    if (size <= OWNER || body < 0 || body % size !== 0)
      reader.fail('signature size', start, `${size} in a list of ${listSize}`)
    reader.bytes(headerSize, 'header')
    const list = new ByteReader('signature list', reader.bytes(body, 'signatures'))
    while (list.left > 0) {
      if (entries.length === MAX_ENTRIES) reader.fail('signatures', start, 'too many')
      const owner = guidFromBytes(list.bytes(OWNER, 'owner'))
      entries.push({ kind: kindOf(type), owner, data: list.bytes(size - OWNER, 'signature') })
    }
  }
  return entries
}

/** One EFI_SIGNATURE_DATA: the authority that let an image start. @throws FormatError */
export function parseSignatureData(bytes: Uint8Array): Omit<SignatureEntry, 'kind'> {
  const reader = new ByteReader('signature data', bytes)
  return { owner: guidFromBytes(reader.bytes(OWNER, 'owner')), data: reader.rest() }
}

/** Signature lists of an update file: they stand behind EFI_VARIABLE_AUTHENTICATION_2, whose signature is not checked. @throws FormatError */
export function parseSignatureUpdate(bytes: Uint8Array): SignatureEntry[] {
  const reader = new ByteReader('signature update', bytes)
  reader.bytes(TIME, 'time')
  const length = reader.u32le('certificate length')
  reader.u16le('revision')
  const type = reader.u16le('certificate type')
  if (type !== UEFI_GUID_CERTIFICATE || length < CERTIFICATE_HEADER)
    reader.fail('certificate type', TIME + 6, `0x${type.toString(16)}`)
  reader.bytes(length - CERTIFICATE_HEADER, 'certificate')
  return parseSignatureLists(reader.rest())
}

const UTF16 = new TextDecoder('utf-16le', { fatal: true, ignoreBOM: true })

/** @throws FormatError when the bytes are no UTF-16 */
export function utf16(bytes: Uint8Array): string {
  try {
    return UTF16.decode(bytes)
  } catch {
    throw new FormatError('UTF-16 text', 'text', 0, `malformed: ${toHex(bytes.subarray(0, 32))}`)
  }
}

function kindOf(type: string): SignatureEntry['kind'] {
  if (type === X509) return 'x509'
  return type === SHA256 ? 'sha256' : 'other'
}
