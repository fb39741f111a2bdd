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
  const pair = (at: number) => twoDigits(contents, at) ?? reader.fail(field, 'malformed time')
  const year = pair(digits - 12)
  const month = pair(digits - 10)
  const day = pair(digits - 8)
  const hour = pair(digits - 6)
  const minute = pair(digits - 4)
  const second = pair(digits - 2)
  const fullYear = utc ? year + (year < 50 ? 2000 : 1900) : pair(0) * 100 + year
  const time = new Date(0)
  time.setUTCFullYear(fullYear, month - 1, day)
  time.setUTCHours(hour, minute, second)
  const same =
    time.getUTCFullYear() === fullYear &&
    time.getUTCMonth() === month - 1 &&
    time.getUTCDate() === day &&
    time.getUTCHours() === hour &&
    time.getUTCMinutes() === minute &&
    time.getUTCSeconds() === second
  return same ? time : reader.fail(field, 'no such time')
}

function twoDigits(contents: Uint8Array, at: number): number | undefined {
  const tens = (contents[at] as number) - 0x30
  const ones = (contents[at + 1] as number) - 0x30
  const digits = tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9
  return digits ? tens * 10 + ones : undefined
}
