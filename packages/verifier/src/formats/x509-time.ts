import { TAG } from './der-reader.ts'
import type { DerReader } from './der-reader.ts'

const LETTER_Z = 0x5a
/** Has every day, and is none of those that `Date.UTC` takes for years of the last century. */
const LEAP_YEAR = 2000

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
  const exists =
    month >= 1 &&
    month <= 12 &&
    day >= 1 &&
    day <= daysOf(fullYear, month) &&
    hour < 24 &&
    minute < 60 &&
    second < 60
  if (!exists) reader.fail(field, 'no such time')
  const time = new Date(Date.UTC(LEAP_YEAR, month - 1, day, hour, minute, second))
  time.setUTCFullYear(fullYear)
  return time
}

function isDigit(byte = 0): boolean {
  return byte >= 0x30 && byte <= 0x39
}

function pair(contents: Uint8Array, at: number): number {
  return ((contents[at] as number) - 0x30) * 10 + (contents[at + 1] as number) - 0x30
}

function daysOf(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
}
