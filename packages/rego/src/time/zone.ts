/** Time zones, by the runtime's own data. */
import { BuiltinError } from '../builtins/registry.ts'

const formats = new Map<string, Intl.DateTimeFormat>()

function formatOf(zone: string): Intl.DateTimeFormat {
  let format = formats.get(zone)
  if (format !== undefined) return format
  try {
    // Attacker-controlled: an offset such as "+01:00" is no zone name in Go.
    if (!/^[A-Za-z][A-Za-z0-9_+/-]*$/.test(zone)) throw new RangeError(zone)
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
      era: 'short',
    })
  } catch {
    throw new BuiltinError(`unknown time zone ${zone.slice(0, 40)}`)
  }
  if (formats.size < 64) formats.set(zone, format)
  return format
}

function isUtc(zone: string): boolean {
  // An evaluation must not depend on the machine, so the local zone is UTC.
  return zone === '' || zone === 'UTC' || zone === 'Local'
}

/** Seconds east of UTC in a zone at an instant. */
export function offsetAt(ns: bigint, zone: string): number {
  if (isUtc(zone)) return 0
  const ms = Number(ns / 1_000_000n) - (ns % 1_000_000n < 0n ? 1 : 0)
  const wholeSeconds = Math.floor(ms / 1000)
  const parts: Record<string, string> = {}
  for (const { type, value } of formatOf(zone).formatToParts(new Date(wholeSeconds * 1000)))
    parts[type] = value
  const number = (name: string): number => Number(parts[name])
  const year = parts['era'] === 'BC' ? 1 - number('year') : number('year')
  const date = new Date(0)
  date.setUTCFullYear(year, number('month') - 1, number('day'))
  date.setUTCHours(number('hour'), number('minute'), number('second'))
  return date.getTime() / 1000 - wholeSeconds
}

/** The abbreviation of a zone at an instant, as far as the runtime knows it. */
export function abbreviationAt(ns: bigint, zone: string): string {
  if (isUtc(zone)) return 'UTC'
  const date = new Date(Number(ns / 1_000_000n))
  const format = new Intl.DateTimeFormat('en-US', { timeZone: zone, timeZoneName: 'short' })
  const name = format.formatToParts(date).find(({ type }) => type === 'timeZoneName')?.value ?? ''
  if (!/^GMT[+-]/.test(name)) return name === 'GMT+0' ? 'GMT' : name
  const offset = offsetAt(ns, zone)
  const sign = offset < 0 ? '-' : '+'
  const hours = String(Math.floor(Math.abs(offset) / 3600)).padStart(2, '0')
  const minutes = Math.floor(Math.abs(offset) / 60) % 60
  return sign + hours + (minutes === 0 ? '' : String(minutes).padStart(2, '0'))
}
