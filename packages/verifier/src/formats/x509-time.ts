import { isUtcTime, utcTime } from '../bytes/utc-time.ts'
import { TAG } from './der-reader.ts'
import type { DerReader } from './der-reader.ts'

const LETTER_Z = 0x5a
const NO_TIME = 'malformed, or no such time'

/** Time of RFC 5280 section 4.1.2.5: UTCTime or GeneralizedTime, seconds, `Z`; a date that does not exist is an error. */
export function readTime(reader: DerReader, field: string): Date {
  return withTime(reader, field, utcTime) ?? reader.fail(field, NO_TIME)
}

/** As {@link readTime}, for the times of long lists. */
export function passTime(reader: DerReader, field: string): void {
  if (withTime(reader, field, isUtcTime) !== true) reader.fail(field, NO_TIME)
}

type TimeUse<Value> = (...time: Parameters<typeof isUtcTime>) => Value

/** Undefined when it is malformed. */
function withTime<Value>(reader: DerReader, field: string, use: TimeUse<Value>): Value | undefined {
  const tag = reader.peek()
  if (tag !== TAG.utcTime && tag !== TAG.generalizedTime) return reader.fail(field, 'not a time')
  return reader.read(tag, field, tag === TAG.utcTime ? shortTime<Value> : longTime<Value>, use)
}

/** UTCTime. */
function shortTime<Value>(
  bytes: Uint8Array,
  start: number,
  end: number,
  use: TimeUse<Value>,
): Value | undefined {
  if (!isTime(bytes, start, end, 12)) return undefined
  const year = pair(bytes, start)
  return timeOf(bytes, start + 2, year + (year < 50 ? 2000 : 1900), use)
}

/** GeneralizedTime. */
function longTime<Value>(
  bytes: Uint8Array,
  start: number,
  end: number,
  use: TimeUse<Value>,
): Value | undefined {
  if (!isTime(bytes, start, end, 14)) return undefined
  return timeOf(bytes, start + 4, pair(bytes, start) * 100 + pair(bytes, start + 2), use)
}

/** @param start - of the month */
function timeOf<Value>(bytes: Uint8Array, start: number, year: number, use: TimeUse<Value>): Value {
  const month = pair(bytes, start)
  const day = pair(bytes, start + 2)
  const hour = pair(bytes, start + 4)
  return use(year, month, day, hour, pair(bytes, start + 6), pair(bytes, start + 8))
}

function isTime(bytes: Uint8Array, start: number, end: number, digits: number): boolean {
  if (end - start !== digits + 1 || bytes[end - 1] !== LETTER_Z) return false
  for (let at = start; at < end - 1; at++) if (!isDigit(bytes[at])) return false
  return true
}

function isDigit(byte = 0): boolean {
  return byte >= 0x30 && byte <= 0x39
}

function pair(contents: Uint8Array, at: number): number {
  return ((contents[at] as number) - 0x30) * 10 + (contents[at + 1] as number) - 0x30
}
