/** JSON that Intel signs: the raw text of one member, with a P-256 signature beside it. */
import { FormatError } from '../bytes/format-error.ts'
import { fromHex } from '../bytes/hex.ts'
import { fromUtf8 } from '../bytes/text.ts'
import { utcTime } from '../bytes/utc-time.ts'
import { listOf, objectOf } from '../formats/json-fields.ts'
import { jsonMemberSpan } from '../formats/json-span.ts'
import { parseJson } from '../formats/json-text.ts'
import { isSignedTcbStatus } from './tcb-status.ts'
import type { TcbStatus } from './tcb-status.ts'

const MAX_BYTES = 1_048_576
/** `0` for any digit. */
const TIME = '0000-00-00T00:00:00Z'
const DIGIT_0 = 0x30

export class SignedJson {
  /** The bytes that the signature covers. */
  readonly text: Uint8Array
  /** r ‖ s, 64 bytes. */
  readonly signature: Uint8Array
  readonly value: Readonly<Record<string, unknown>>

  /** @throws FormatError */
  constructor(format: string, bytes: Uint8Array, member: string) {
    if (bytes.length > MAX_BYTES) throw new FormatError(format, 'length', 0, 'too long')
    this.text = jsonMemberSpan(bytes, member)
    // Read from the signed text itself: a second member of that name, spelt with escapes, must not take its place.
    this.value = objectOf(format, member, parseJson(format, this.text))
    const envelope = objectOf(
      format,
      'envelope',
      parseJson(format, withoutSpan(format, bytes, this.text)),
    )
    this.signature = readHex(format, 'signature', envelope['signature'], 64)
  }
}

/** The envelope with `null` for the signed text, so that nothing is parsed twice. @param span - a view into `bytes` */
function withoutSpan(format: string, bytes: Uint8Array, span: Uint8Array): string {
  const start = span.byteOffset - bytes.byteOffset
  const before = fromUtf8(format, 'text', bytes.subarray(0, start))
  return `${before}null${fromUtf8(format, 'text', bytes.subarray(start + span.length))}`
}

export interface TcbLevelFields {
  readonly tcbDate: Date
  readonly tcbStatus: TcbStatus
  readonly advisoryIds: readonly string[]
}

export function tcbLevelFields(
  format: string,
  level: Readonly<Record<string, unknown>>,
): TcbLevelFields {
  const { tcbStatus } = level
  if (!isSignedTcbStatus(tcbStatus)) throw new FormatError(format, 'tcbStatus', 0, 'unknown')
  const advisories = listOf(format, 'advisoryIDs', level['advisoryIDs'] ?? [], 256)
  return {
    tcbDate: readTime(format, 'tcbDate', level['tcbDate']),
    tcbStatus,
    advisoryIds: advisories.map((id) => readText(format, 'advisoryIDs', id)),
  }
}

export function readTime(format: string, field: string, value: unknown): Date {
  const text = readText(format, field, value)
  const time = isTime(text)
    ? utcTime(
        digitsAt(text, 0, 4),
        digitsAt(text, 5, 2),
        digitsAt(text, 8, 2),
        digitsAt(text, 11, 2),
        digitsAt(text, 14, 2),
        digitsAt(text, 17, 2),
      )
    : undefined
  if (time === undefined) throw new FormatError(format, field, 0, 'not a time')
  return time
}

function isTime(text: string): boolean {
  if (text.length !== TIME.length) return false
  for (let at = 0; at < TIME.length; at++) {
    const [code, wanted] = [text.charCodeAt(at), TIME.charCodeAt(at)]
    const digit = code >= DIGIT_0 && code <= DIGIT_0 + 9
    if (wanted === DIGIT_0 ? !digit : code !== wanted) return false
  }
  return true
}

function digitsAt(text: string, start: number, length: number): number {
  let value = 0
  for (let at = start; at < start + length; at++) value = value * 10 + text.charCodeAt(at) - DIGIT_0
  return value
}

export function readText(format: string, field: string, value: unknown): string {
  if (typeof value !== 'string' || value.length > 256)
    throw new FormatError(format, field, 0, 'not a short text')
  return value
}

export function readHex(
  format: string,
  field: string,
  value: unknown,
  size: number,
): Uint8Array<ArrayBuffer> {
  const bytes = fromHex(readText(format, field, value))
  if (bytes.length !== size)
    throw new FormatError(format, field, 0, `${bytes.length} bytes, wanted ${size}`)
  return bytes
}
