/** Go's time layouts: the reference time `Mon Jan 2 15:04:05 MST 2006` spelled out as a pattern. */
import { BuiltinError } from '../builtins/registry.ts'
import { civilIn, daysFromCivil, daysInMonth } from './civil.ts'
import { abbreviationAt, offsetAt } from './zone.ts'

export const RFC3339 = '2006-01-02T15:04:05.999999999Z07:00'

const NAMED: Readonly<Record<string, string>> = {
  ANSIC: 'Mon Jan _2 15:04:05 2006',
  UnixDate: 'Mon Jan _2 15:04:05 MST 2006',
  RubyDate: 'Mon Jan 02 15:04:05 -0700 2006',
  RFC822: '02 Jan 06 15:04 MST',
  RFC822Z: '02 Jan 06 15:04 -0700',
  RFC850: 'Monday, 02-Jan-06 15:04:05 MST',
  RFC1123: 'Mon, 02 Jan 2006 15:04:05 MST',
  RFC1123Z: 'Mon, 02 Jan 2006 15:04:05 -0700',
  RFC3339: '2006-01-02T15:04:05Z07:00',
  RFC3339Nano: RFC3339,
}

/** A layout by its Go name, or as it is. */
export function layoutOf(layout: string): string {
  return NAMED[layout] ?? layout
}

/** The pieces of a layout; the longest at a place wins, so the order matters. */
const PIECES =
  /January|Jan|Monday|Mon|MST|2006|-07:00:00|-07:00|-070000|-0700|-07|Z07:00:00|Z07:00|Z070000|Z0700|Z07|__2|002|_2(?!006)|01|02|03|04|05|06|15|PM|pm|[.,](?:0+|9+)(?!\d)|1|2|3|4|5/g

const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
]
const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']

function pieces(layout: string): string[] {
  const found: string[] = []
  let end = 0
  for (const match of layout.matchAll(PIECES)) {
    if (match.index > end) found.push(`=${layout.slice(end, match.index)}`)
    found.push(match[0])
    end = match.index + match[0].length
  }
  if (end < layout.length) found.push(`=${layout.slice(end)}`)
  return found
}

export function formatTime(ns: bigint, zone: string, layout: string): string {
  const offset = offsetAt(ns, zone)
  const t = civilIn(ns, offset)
  const days = daysFromCivil(t.year, t.month, t.day)
  const two = (value: number): string => String(value).padStart(2, '0')
  const hour12 = t.hour % 12 === 0 ? 12 : t.hour % 12
  const yearDay = days - daysFromCivil(t.year, 1, 1) + 1
  const simple: Readonly<Record<string, () => string>> = {
    January: () => MONTHS[t.month - 1] as string,
    Jan: () => (MONTHS[t.month - 1] as string).slice(0, 3),
    Monday: () => DAYS[(((days + 4) % 7) + 7) % 7] as string,
    Mon: () => (DAYS[(((days + 4) % 7) + 7) % 7] as string).slice(0, 3),
    MST: () => abbreviationAt(ns, zone),
    '2006': () => String(t.year).padStart(4, '0'),
    '06': () => two(((t.year % 100) + 100) % 100),
    '01': () => two(t.month),
    '1': () => String(t.month),
    '02': () => two(t.day),
    _2: () => String(t.day).padStart(2, ' '),
    '2': () => String(t.day),
    '002': () => String(yearDay).padStart(3, '0'),
    __2: () => String(yearDay).padStart(3, ' '),
    '15': () => two(t.hour),
    '03': () => two(hour12),
    '3': () => String(hour12),
    '04': () => two(t.minute),
    '4': () => String(t.minute),
    '05': () => two(t.second),
    '5': () => String(t.second),
    PM: () => (t.hour < 12 ? 'AM' : 'PM'),
    pm: () => (t.hour < 12 ? 'am' : 'pm'),
  }
  return pieces(layout)
    .map((piece) => {
      if (piece.startsWith('=')) return piece.slice(1)
      if (/^[.,]/.test(piece)) return fraction(piece, t.nanosecond)
      return simple[piece]?.() ?? formatOffset(piece, offset)
    })
    .join('')
}

function fraction(piece: string, nanosecond: number): string {
  const digits = String(nanosecond)
    .padStart(9, '0')
    .slice(0, piece.length - 1)
  if (piece[1] === '0') return piece.charAt(0) + digits
  const trimmed = digits.replace(/0+$/, '')
  return trimmed === '' ? '' : piece.charAt(0) + trimmed
}

function formatOffset(piece: string, offset: number): string {
  if (piece.startsWith('Z') && offset === 0) return 'Z'
  const seconds = Math.abs(offset)
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60].map(
    (value) => String(value).padStart(2, '0'),
  )
  const body = piece.slice(1)
  const count = body.replaceAll(':', '').length / 2
  return (offset < 0 ? '-' : '+') + parts.slice(0, count).join(body.includes(':') ? ':' : '')
}

interface Parsed {
  year: number
  month: number
  day: number
  yearDay: number | undefined
  hour: number
  minute: number
  second: number
  nanosecond: number
  pm: boolean | undefined
  offset: number
}

/** Parses a text by a layout. @throws BuiltinError */
export function parseTime(layout: string, text: string): bigint {
  if (text.length > 1000) throw bad()
  const parsed: Parsed = {
    year: 0,
    month: 1,
    day: 1,
    yearDay: undefined,
    hour: 0,
    minute: 0,
    second: 0,
    nanosecond: 0,
    pm: undefined,
    offset: 0,
  }
  let rest = text
  let previous = ''
  for (const piece of pieces(layout)) {
    // A fraction may follow the seconds even where the layout has none.
    if (/^0?5$/.test(previous) && !/^[.,]/.test(piece)) rest = takeFraction(rest, parsed)
    rest = takePiece(piece, rest, parsed)
    previous = piece
  }
  if (/^0?5$/.test(previous)) rest = takeFraction(rest, parsed)
  if (rest !== '') throw bad()
  return assemble(parsed)
}

function bad(): BuiltinError {
  return new BuiltinError('the text does not fit the time layout')
}

function takeFraction(rest: string, parsed: Parsed): string {
  const match = /^[.,](\d{1,9})\d*/.exec(rest)
  if (match === null) return rest
  parsed.nanosecond = Number((match[1] ?? '').padEnd(9, '0'))
  return rest.slice(match[0].length)
}

function takePiece(piece: string, rest: string, parsed: Parsed): string {
  if (piece.startsWith('=')) return takeLiteral(piece.slice(1), rest)
  if (/^[.,]/.test(piece)) {
    if (piece[1] === '0' && !new RegExp(`^[.,]\\d{${piece.length - 1}}(?!\\d)`).test(rest))
      throw bad()
    return takeFraction(rest, parsed)
  }
  const number = (pattern: RegExp): number => {
    const match = pattern.exec(rest)
    if (match === null) throw bad()
    rest = rest.slice(match[0].length)
    return Number(match[0])
  }
  switch (piece) {
    case '2006':
      parsed.year = number(/^\d{4}/)
      return rest
    case '06': {
      const year = number(/^\d{2}/)
      parsed.year = year >= 69 ? 1900 + year : 2000 + year
      return rest
    }
    case '01':
      parsed.month = number(/^\d{2}/)
      return rest
    case '1':
      parsed.month = number(/^\d{1,2}/)
      return rest
    case '02':
      parsed.day = number(/^\d{2}/)
      return rest
    case '2':
    case '_2':
      parsed.day = number(/^ ?\d{1,2}/)
      return rest
    case '002':
    case '__2':
      parsed.yearDay = number(/^[ \d]{2}\d/)
      return rest
    case '15':
    case '03':
      parsed.hour = number(/^\d{2}/)
      return rest
    case '3':
      parsed.hour = number(/^\d{1,2}/)
      return rest
    case '04':
      parsed.minute = number(/^\d{2}/)
      return rest
    case '4':
      parsed.minute = number(/^\d{1,2}/)
      return rest
    case '05':
      parsed.second = number(/^\d{2}/)
      return rest
    case '5':
      parsed.second = number(/^\d{1,2}/)
      return rest
    default:
      return takeName(piece, rest, parsed)
  }
}

function takeLiteral(literal: string, rest: string): string {
  if (!rest.startsWith(literal)) throw bad()
  return rest.slice(literal.length)
}

function takeName(piece: string, rest: string, parsed: Parsed): string {
  switch (piece) {
    case 'January':
    case 'Jan': {
      const index = nameIndex(MONTHS, piece.length > 3, rest)
      parsed.month = index.index + 1
      return rest.slice(index.length)
    }
    case 'Monday':
    case 'Mon':
      return rest.slice(nameIndex(DAYS, piece.length > 3, rest).length)
    case 'PM':
    case 'pm': {
      const match = /^(?:AM|PM|am|pm)/.exec(rest)
      if (match === null || (match[0] === match[0].toUpperCase()) !== (piece === 'PM')) throw bad()
      parsed.pm = match[0].toLowerCase() === 'pm'
      return rest.slice(2)
    }
    case 'MST': {
      const match = /^(?:[A-Z]{3,5}|[+-]\d{2})/.exec(rest)
      if (match === null) throw bad()
      return rest.slice(match[0].length)
    }
    default:
      return takeOffset(piece, rest, parsed)
  }
}

function nameIndex(
  names: readonly string[],
  long: boolean,
  rest: string,
): { index: number; length: number } {
  const lower = rest.slice(0, 12).toLowerCase()
  const index = names.findIndex((name) =>
    lower.startsWith((long ? name : name.slice(0, 3)).toLowerCase()),
  )
  if (index === -1) throw bad()
  return { index, length: long ? (names[index] as string).length : 3 }
}

function takeOffset(piece: string, rest: string, parsed: Parsed): string {
  if (piece.startsWith('Z') && rest.startsWith('Z')) return rest.slice(1)
  const colon = piece.includes(':') ? ':' : ''
  const count = piece.slice(1).replaceAll(':', '').length / 2
  const pattern = `^([+-])(\\d{2})${count > 1 ? `${colon}(\\d{2})` : ''}${count > 2 ? `${colon}(\\d{2})` : ''}`
  const match = new RegExp(pattern).exec(rest)
  if (match === null) throw bad()
  const [hours, minutes, seconds] = [match[2], match[3], match[4]].map((part) =>
    Number(part ?? 0),
  ) as [number, number, number]
  if (hours > 24 || minutes > 59) throw bad()
  parsed.offset = (match[1] === '-' ? -1 : 1) * (hours * 3600 + minutes * 60 + seconds)
  return rest.slice(match[0].length)
}

function assemble(parsed: Parsed): bigint {
  const { year, minute, second, nanosecond, offset } = parsed
  let { month, day, hour } = parsed
  if (parsed.pm !== undefined) {
    if (hour > 12) throw bad()
    hour = (hour % 12) + (parsed.pm ? 12 : 0)
  }
  if (hour > 23 || minute > 59 || second > 59) throw bad()
  let days: number
  if (parsed.yearDay !== undefined && parsed.yearDay > 0) {
    days = daysFromCivil(year, 1, 1) + parsed.yearDay - 1
    if (days >= daysFromCivil(year + 1, 1, 1)) throw bad()
  } else {
    if (month < 1 || month > 12 || day < 1 || day > daysInMonth(year, month)) throw bad()
    days = daysFromCivil(year, month, day)
  }
  const seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset
  return BigInt(seconds) * 1_000_000_000n + BigInt(nanosecond)
}
