import { utcTime } from '../bytes/utc-time.ts'
import { TAG } from './der-reader.ts'
import type { DerReader } from './der-reader.ts'

const LETTER_Z = 0x5a

/** Time of RFC 5280 section 4.1.2.5: UTCTime or GeneralizedTime, seconds, `Z`; a date that does not exist is an error. */
export function readTime(reader: DerReader, field: string): Date {
  const tag = reader.peek()
  if (tag !== TAG.utcTime && tag !== TAG.generalizedTime) return reader.fail(field, 'not a time')
  const contents = reader.contents(tag, field)
  const utc = tag === TAG.utcTime
  const digits = utc ? 12 : 14
  if (contents.length !== digits + 1 || contents[digits] !== LETTER_Z)
    return reader.fail(field, 'malformed time')
  for (let at = 0; at < digits; at++)
    if (!isDigit(contents[at])) reader.fail(field, 'malformed time')
  const year = pair(contents, digits - 12)
  const month = pair(contents, digits - 10)
  const day = pair(contents, digits - 8)
  const hour = pair(contents, digits - 6)
  const minute = pair(contents, digits - 4)
  const second = pair(contents, digits - 2)
  const fullYear = utc ? year + (year < 50 ? 2000 : 1900) : pair(contents, 0) * 100 + year
  return utcTime(fullYear, month, day, hour, minute, second) ?? reader.fail(field, 'no such time')
}

function isDigit(byte = 0): boolean {
  return byte >= 0x30 && byte <= 0x39
}

function pair(contents: Uint8Array, at: number): number {
  return ((contents[at] as number) - 0x30) * 10 + (contents[at + 1] as number) - 0x30
}
