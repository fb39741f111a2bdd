/** JSON that Intel signs: the raw text of one member, with a P-256 signature beside it. */
import { runtimeCrypto } from '#crypto'
import { equalBytes } from '../bytes/equal.ts'
import { FormatError } from '../bytes/format-error.ts'
import { next } from '../crypto/eventual.ts'
import type { Eventual } from '../crypto/eventual.ts'
import { utcTime } from '../bytes/utc-time.ts'
import { JsonReader } from '../formats/json-reader.ts'
import { keyOf } from '../formats/x509-verify.ts'
import type { IssuerKey } from '../formats/x509-verify.ts'
import { SIGNED_STATUSES } from './tcb-status.ts'
import type { TcbStatus } from './tcb-status.ts'

const MAX_BYTES = 1_048_576
const MAX_TEXT = 256
const MAX_ADVISORIES = 256
/** `0` for any digit. */
const TIME = '0000-00-00T00:00:00Z'
const DIGIT_0 = 0x30

export interface SignedJson {
  /** The bytes that the signature covers. */
  readonly text: Uint8Array
  /** r ‖ s, 64 bytes. */
  readonly signature: Uint8Array
  /** SubjectPublicKeyInfo under which the signature was found to hold. */
  signer: Uint8Array | undefined
}

/**
 * Reads `{"<member>": …, "signature": "…"}`; members of other names are passed.
 *
 * @param read - passes the signed value, whose exact text is kept. @throws FormatError
 */
export function readSignedJson<Value>(
  format: string,
  bytes: Uint8Array,
  member: string,
  read: (reader: JsonReader) => Value,
): Value & { readonly signed: SignedJson } {
  if (bytes.length > MAX_BYTES) throw new FormatError(format, 'length', 0, 'too long')
  const reader = new JsonReader(format, bytes)
  let value: Value | undefined
  let text: Uint8Array | undefined
  let signature: Uint8Array | undefined
  reader.openObject('envelope')
  const names = [member, 'signature']
  for (let name = reader.member(names); name !== undefined; name = reader.member(names))
    if (name === member) {
      const { start } = reader
      value = read(reader)
      text = bytes.subarray(start, reader.offset)
    } else signature = reader.hex('signature', 64)
  reader.end()
  if (value === undefined || text === undefined) return reader.fail(member, 'is missing')
  if (signature === undefined) return reader.fail('signature', 'is missing')
  return { ...value, signed: { text, signature, signer: undefined } }
}

/** Whether the signature is by that key; what was found to hold is remembered on the statement, as on certificates and lists. */
export function isStatementSignedBy(signed: SignedJson, issuer: IssuerKey): Eventual<boolean> {
  if (signed.signer !== undefined && equalBytes(signed.signer, issuer.spki)) return true
  return next(
    keyOf(issuer, 'ecdsa-p256-sha256'),
    (key) =>
      key !== undefined &&
      next(runtimeCrypto.verify(key, signed.text, signed.signature), (good) => {
        if (good) signed.signer = issuer.spki
        return good
      }),
  )
}

/** What a level of any kind has, as far as it was read. */
export class TcbLevelReader {
  tcbDate: Date | undefined
  tcbStatus: TcbStatus | undefined
  advisoryIds: readonly string[] = []

  /** Takes the value of one of `LEVEL_NAMES`. */
  take(reader: JsonReader, name: LevelName): void {
    switch (name) {
      case 'tcbDate':
        this.tcbDate = readTime(reader, name)
        return
      case 'tcbStatus':
        this.tcbStatus = reader.oneOf(name, SIGNED_STATUSES) ?? reader.fail(name, 'unknown')
        return
      case 'advisoryIDs':
        this.advisoryIds = readTexts(reader, name)
        return
      default:
        name satisfies never
    }
  }

  /** @throws FormatError when date or status was missing */
  fields(reader: JsonReader): TcbLevelFields {
    return {
      tcbDate: required(reader, 'tcbDate', this.tcbDate),
      tcbStatus: required(reader, 'tcbStatus', this.tcbStatus),
      advisoryIds: this.advisoryIds,
    }
  }
}

export const LEVEL_NAMES = ['tcbDate', 'tcbStatus', 'advisoryIDs'] as const
type LevelName = (typeof LEVEL_NAMES)[number]

export interface TcbLevelFields {
  readonly tcbDate: Date
  readonly tcbStatus: TcbStatus
  readonly advisoryIds: readonly string[]
}

function readTexts(reader: JsonReader, field: string): readonly string[] {
  const texts: string[] = []
  reader.openList(field)
  while (reader.entry()) {
    if (texts.length === MAX_ADVISORIES) reader.fail(field, `more than ${MAX_ADVISORIES} entries`)
    texts.push(readText(reader, field))
  }
  return texts
}

export function readText(reader: JsonReader, field: string): string {
  return reader.text(field, MAX_TEXT)
}

export function readTime(reader: JsonReader, field: string): Date {
  return reader.read(field, 'not a time', timeOf)
}

function timeOf(text: Uint8Array, start: number, end: number): Date | undefined {
  if (!isTime(text, start, end)) return undefined
  return utcTime(
    digitsAt(text, start, 4),
    digitsAt(text, start + 5, 2),
    digitsAt(text, start + 8, 2),
    digitsAt(text, start + 11, 2),
    digitsAt(text, start + 14, 2),
    digitsAt(text, start + 17, 2),
  )
}

function isTime(text: Uint8Array, start: number, end: number): boolean {
  if (end - start !== TIME.length) return false
  for (let at = 0; at < TIME.length; at++) {
    const code = text[start + at] as number
    const wanted = TIME.charCodeAt(at)
    const digit = code >= DIGIT_0 && code <= DIGIT_0 + 9
    if (wanted === DIGIT_0 ? !digit : code !== wanted) return false
  }
  return true
}

function digitsAt(text: Uint8Array, start: number, length: number): number {
  let value = 0
  for (let at = start; at < start + length; at++)
    value = value * 10 + (text[at] as number) - DIGIT_0
  return value
}

/** @throws FormatError when nothing was read */
export function required<Value>(
  reader: JsonReader,
  field: string,
  value: Value | undefined,
): Value {
  return value ?? reader.fail(field, 'is missing')
}
