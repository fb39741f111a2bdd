/** An event in words, for people. Texts come from the log: only where the digest is of the data are they measured. */
import { FormatError } from '../bytes/format-error.ts'
import { ByteReader } from '../bytes/reader.ts'
import type { BootEvent } from './boot-events.ts'
import { EVENT_TYPE } from './event-types.ts'
import { parseGptEvent } from './gpt-event.ts'
import type { TcgEvent } from './tcg-log.ts'
import { parseSignatureLists, parseUefiVariable, utf16 } from './uefi-variable.ts'

const MAX_NAMES = 8
/** Of a partition entry: its name in UTF-16, filled up with NULs. */
const PARTITION_NAME = { start: 56, end: 128 } as const
const MAX_WORDS = 512

/** One line of at most 512 characters, without control characters. @param boot - absent for an event that extends nothing */
export function eventWords(event: TcgEvent, boot: BootEvent | undefined): string {
  try {
    return oneLine(words(event, boot))
  } catch (error) {
    if (error instanceof FormatError) return `${boot?.component ?? 'note'}, malformed`
    throw error
  }
}

/** White space becomes a blank; a text with other control characters is none and is left out. */
export function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ').replace(CONTROL, '…').slice(0, MAX_WORDS).trim()
}

// oxlint-disable-next-line no-control-regex -- control characters are what is looked for
const CONTROL = /[\u0000-\u001F\u007F-\u009F][^]*$/

function words(event: TcgEvent, boot: BootEvent | undefined): string {
  if (boot === undefined) return noteWords(event.data)
  const { component, subject } = boot
  switch (component) {
    case 'separator':
      return event.data.every((byte) => byte === 0 || byte === 0xff)
        ? 'the firmware ends its part'
        : 'the firmware met an error'
    case 'Secure Boot state':
      return subject === 'SecureBoot' ? stateWords(event) : `${component}: ${subject ?? ''}`
    case 'Secure Boot PK':
    case 'Secure Boot KEK':
    case 'Secure Boot db':
    case 'Secure Boot dbx':
      return `${component}: ${listWords(event)}`
    case 'boot order':
      return `boot entry ${subject ?? ''}${entryWords(event)}`
    case 'partition table':
      return `partition table: ${partitionWords(event.data)}`
    case 'firmware':
      return `firmware${firmwareWords(event, subject)}`
    default:
      return subject === undefined ? component : `${component}: ${subject}`
  }
}

/** A version in UTF-16, or UEFI_PLATFORM_FIRMWARE_BLOB: where it lay, and its length. */
function firmwareWords({ type, data }: TcgEvent, subject: string | undefined): string {
  if (type === EVENT_TYPE.crtmVersion) return ` version "${utf16(data).replace(/\0$/, '')}"`
  if (type !== EVENT_TYPE.platformFirmwareBlob) return subject === undefined ? '' : `: ${subject}`
  const reader = new ByteReader('firmware blob', data)
  const base = reader.u64le('base').toString(16)
  const size = reader.u64le('length').toString(16)
  reader.end()
  return ` of 0x${size} bytes at 0x${base}`
}

/** EV_NO_ACTION: the log tells something and extends nothing. */
function noteWords(data: Uint8Array): string {
  const end = data.indexOf(0)
  const signature = new TextDecoder().decode(data.subarray(0, end < 0 ? 0 : Math.min(end, 32)))
  return /^[\x20-\x7e]+$/.test(signature) ? `note: ${signature}` : 'note'
}

function stateWords({ data }: TcgEvent): string {
  const [state, ...more] = parseUefiVariable(data).data
  if (more.length > 0 || (state !== 0 && state !== 1)) return 'Secure Boot is not set up'
  return `Secure Boot is ${state === 1 ? 'on' : 'off'}`
}

function listWords({ data }: TcgEvent): string {
  const entries = parseSignatureLists(parseUefiVariable(data).data)
  const count = (kind: string) => entries.filter((entry) => entry.kind === kind).length
  const others = entries.length - count('x509') - count('sha256')
  const parts = [
    `${count('x509')} certificates`,
    `${count('sha256')} digests`,
    ...(others > 0 ? [`${others} others`] : []),
  ]
  return parts.join(', ')
}

/** EFI_LOAD_OPTION: attributes, length of the path, then the description; or the order, a list of numbers. */
function entryWords({ type, data }: TcgEvent): string {
  const isVariable = type === EVENT_TYPE.variableBoot || type === EVENT_TYPE.variableBoot2
  if (!isVariable) return ''
  const variable = parseUefiVariable(data)
  const reader = new ByteReader('boot entry', variable.data)
  if (variable.name === 'BootOrder') {
    const order: string[] = []
    while (reader.left > 1 && order.length < MAX_NAMES)
      order.push(reader.u16le('entry').toString(16).toUpperCase().padStart(4, '0'))
    return `: ${order.join(', ')}`
  }
  reader.bytes(6, 'attributes')
  const rest = reader.rest()
  return `: ${utf16(rest.subarray(0, endOfText(rest)))}`
}

function endOfText(bytes: Uint8Array): number {
  for (let at = 0; at + 1 < bytes.length; at += 2)
    if (bytes[at] === 0 && bytes[at + 1] === 0) return at
  return 0
}

function partitionWords(data: Uint8Array): string {
  const { entries } = parseGptEvent(data)
  const names = entries
    .slice(0, MAX_NAMES)
    .map((entry) => utf16(entry.subarray(PARTITION_NAME.start, PARTITION_NAME.end)))
    .map((name) => name.split('\0', 1)[0] || 'unnamed')
  const more = entries.length > MAX_NAMES ? ', …' : ''
  return `${entries.length} partitions (${names.join(', ')}${more})`
}
