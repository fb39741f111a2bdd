/** What event data says, in the members that CoCo's claims give it (`uefi_event_logs`). Nothing of it is measured truth by itself. */
import { toBase64 } from '../bytes/base64.ts'
import { FormatError } from '../bytes/format-error.ts'
import { toHex } from '../bytes/hex.ts'
import { ByteReader } from '../bytes/reader.ts'
import { fromUtf8, withoutNuls } from '../bytes/text.ts'
import { parseJson } from '../formats/json-text.ts'
import { devicePathTexts } from './device-path.ts'
import { EVENT_TYPE } from './event-types.ts'
import { parseUefiVariable, utf16 } from './uefi-variable.ts'

export interface EventDetails {
  readonly string?: string
  readonly unicode_name?: string
  readonly unicode_name_length?: number
  /** The vendor GUID's bytes as stored, grouped like a GUID: that is how CoCo writes it. */
  readonly variable_name?: string
  readonly variable_data?: string
  readonly variable_data_length?: number
  readonly device_paths?: readonly string[]
  readonly data?: RuntimeEvent
}

/** An event of CoCo's attestation agent (AAEL): `<domain> <operation> <content>`. */
export interface RuntimeEvent {
  readonly domain: string
  readonly operation: string
  /** The content, parsed where it is JSON. */
  readonly content: unknown
}

const AAEL = 0x4141_454c
const TD_SHIM_NAME = 16
/** Blob or table records: a length byte, then that many characters. */
const NAMED: ReadonlySet<number> = new Set([
  EVENT_TYPE.platformFirmwareBlob2,
  EVENT_TYPE.handoffTables2,
])
const VARIABLES: ReadonlySet<number> = new Set([
  EVENT_TYPE.variableDriverConfig,
  EVENT_TYPE.variableBoot,
  EVENT_TYPE.variableBoot2,
  EVENT_TYPE.variableAuthority,
])
const SILENT: ReadonlySet<number> = new Set([
  EVENT_TYPE.noAction,
  EVENT_TYPE.separator,
  EVENT_TYPE.gpt,
])

/** Empty where the data says nothing or is malformed. */
export function eventDetails(type: number, data: Uint8Array): EventDetails {
  try {
    if (SILENT.has(type)) return {}
    if (VARIABLES.has(type)) return variableDetails(data)
    if (NAMED.has(type)) return { string: namedText(data) }
    if (type === EVENT_TYPE.bootServicesApplication) return { device_paths: imagePath(data) }
    if (type === EVENT_TYPE.eventTag) return tagDetails(data)
    if (type === EVENT_TYPE.platformConfigFlags) return { string: configText(data) }
    return { string: plainText(data) }
  } catch (error) {
    if (error instanceof FormatError) return {}
    throw error
  }
}

/** `<domain> <operation> <content>` of an AAEL event; undefined for other tagged events. @throws FormatError */
export function runtimeEvent(data: Uint8Array): { text: string; event: RuntimeEvent } | undefined {
  const reader = new ByteReader('tagged event', data)
  const id = reader.u32le('id')
  if (id !== AAEL) return undefined
  const text = fromUtf8('AAEL event', 'text', reader.bytes(reader.u32le('length'), 'text'))
  reader.end()
  const first = text.indexOf(' ')
  const second = text.indexOf(' ', first + 1)
  if (first <= 0 || second < 0 || text.includes('\n'))
    throw new FormatError('AAEL event', 'text', 8, 'not domain, operation and content in one line')
  const content = text.slice(second + 1)
  const event = {
    domain: text.slice(0, first),
    operation: text.slice(first + 1, second),
    content: jsonOrText(content),
  }
  return { text, event }
}

function variableDetails(data: Uint8Array): EventDetails {
  const variable = parseUefiVariable(data)
  const stored = toHex(data.subarray(0, 16))
  const groups = [
    [0, 8],
    [8, 12],
    [12, 16],
    [16, 20],
    [20, 32],
  ].map(([start, end]) => stored.slice(start, end))
  return {
    unicode_name: variable.name,
    unicode_name_length: variable.name.length,
    variable_name: groups.join('-'),
    variable_data: toBase64(variable.data),
    variable_data_length: variable.data.length,
  }
}

function namedText(data: Uint8Array): string {
  const reader = new ByteReader('named event', data)
  return fromUtf8('named event', 'name', reader.bytes(reader.u8('length'), 'name')).replace(
    /\0$/,
    '',
  )
}

/** UEFI_IMAGE_LOAD_EVENT: address, size, link address, then the length of the path and the path. */
function imagePath(data: Uint8Array): readonly string[] {
  const reader = new ByteReader('image load event', data)
  reader.bytes(24, 'location')
  const length = reader.u64le('path length')
  if (length > BigInt(reader.left)) reader.fail('path length', 24, 'ends too early')
  return devicePathTexts(reader.bytes(Number(length), 'path'))
}

function tagDetails(data: Uint8Array): EventDetails {
  const runtime = runtimeEvent(data)
  if (runtime !== undefined)
    return { data: runtime.event, string: runtime.text, unicode_name: 'AAEL' }
  const reader = new ByteReader('tagged event', data)
  reader.u32le('id')
  return { string: plainText(reader.bytes(reader.u32le('length'), 'text')) }
}

/** UTF-8 up to the first NUL; else UTF-16, of whose section names CoCo leaves out the dot. */
function plainText(data: Uint8Array): string {
  const wide = data.length >= 2 && data.length % 2 === 0 && data[1] === 0
  if (wide) return withoutNuls(utf16(data)).replace(/^\./, '')
  const end = data.indexOf(0)
  return fromUtf8('event', 'text', end < 0 ? data : data.subarray(0, end))
}

/** TD-Shim's record: a name of 16 bytes, a length, the bytes. CoCo tells the text of the payload's command line only. */
function configText(data: Uint8Array): string {
  try {
    const name = plainText(data.subarray(0, TD_SHIM_NAME))
    if (name !== 'td_payload_info') return plainText(fromAscii(data))
    return `${name} ${plainText(data.subarray(TD_SHIM_NAME + 4))}`
  } catch (error) {
    if (error instanceof FormatError) return ''
    throw error
  }
}

/** The bytes themselves, if all of them are text. */
function fromAscii(data: Uint8Array): Uint8Array {
  fromUtf8('event', 'text', data)
  return data
}

function jsonOrText(text: string): unknown {
  try {
    return parseJson('event', text)
  } catch (error) {
    if (error instanceof FormatError) return text
    throw error
  }
}
