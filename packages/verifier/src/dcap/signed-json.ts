/** JSON that Intel signs: the raw text of one member, with a P-256 signature beside it. */
import { concatBytes } from '../bytes/concat.ts'
import { FormatError } from '../bytes/format-error.ts'
import { fromHex } from '../bytes/hex.ts'
import { fromUtf8, toUtf8 } from '../bytes/text.ts'
import { listOf, objectOf } from '../formats/json-fields.ts'
import { jsonMemberSpan } from '../formats/json-span.ts'
import { isSignedTcbStatus } from './tcb-status.ts'
import type { TcbStatus } from './tcb-status.ts'

const NULL = toUtf8('null')
const MAX_BYTES = 1_048_576
const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$/

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
    this.value = objectOf(format, member, parse(format, this.text))
    const envelope = objectOf(format, 'envelope', parse(format, withoutSpan(bytes, this.text)))
    this.signature = readHex(format, 'signature', envelope['signature'], 64)
  }
}

/** The envelope with `null` for the signed text, so that nothing is parsed twice. @param span - a view into `bytes` */
function withoutSpan(bytes: Uint8Array, span: Uint8Array): Uint8Array {
  const start = span.byteOffset - bytes.byteOffset
  return concatBytes(bytes.subarray(0, start), NULL, bytes.subarray(start + span.length))
}

function parse(format: string, bytes: Uint8Array): unknown {
  try {
    return JSON.parse(fromUtf8(format, 'text', bytes))
  } catch (error) {
    if (error instanceof SyntaxError) throw new FormatError(format, 'text', 0, 'not JSON')
    throw error
  }
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
  const time = new Date(TIME.test(text) ? text : Number.NaN)
  if (Number.isNaN(time.getTime())) throw new FormatError(format, field, 0, 'not a time')
  return time
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
