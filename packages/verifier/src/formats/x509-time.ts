import { fromUtf8 } from '../bytes/text.ts'
import { TAG } from './der-reader.ts'
import type { DerReader } from './der-reader.ts'

const UTC_TIME = /^(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/
const GENERALIZED_TIME = /^(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/

/** Time of RFC 5280 section 4.1.2.5: UTCTime or GeneralizedTime, seconds, `Z`; a date that does not exist is an error. */
export function readTime(reader: DerReader, field: string): Date {
  const { tag, contents } = reader.any(field)
  if (tag !== TAG.utcTime && tag !== TAG.generalizedTime) reader.fail(field, 'not a time')
  const utc = tag === TAG.utcTime
  const text = contents.length > 15 ? '' : fromUtf8('X.509 time', field, contents)
  const match = (utc ? UTC_TIME : GENERALIZED_TIME).exec(text)
  if (match === null) return reader.fail(field, 'malformed time')
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match
    .slice(1)
    .map(Number)
  const fullYear = utc ? year + (year < 50 ? 2000 : 1900) : year
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
