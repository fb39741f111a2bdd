/** Values of options that several commands take. */
import { CloisterError } from '@cloister/protocol/error'

export function badOption(why: string, expected: string, received: string): CloisterError {
  return new CloisterError('cli.usage', { why, expected, received: received.slice(0, 80) })
}

/** `[ADDRESS:]HOST:GUEST`; the address is 127.0.0.1 where none stands. @throws CloisterError `cli.usage` */
export function publishedPort(text: string): { address: string; host: number; guest: number } {
  const match = /^(?:(\d{1,3}(?:\.\d{1,3}){3}):)?(\d{1,5}):(\d{1,5})$/.exec(text)
  const host = Number(match?.[2])
  const guest = Number(match?.[3])
  if (match === null || !isPort(host) || !isPort(guest))
    throw badOption('--publish is malformed', '[ADDRESS:]HOST:GUEST', text)
  return { address: match[1] ?? '127.0.0.1', host, guest }
}

function isPort(value: number): boolean {
  return value >= 1 && value <= 65_535
}

/** A whole number from 1. @param most - absent: 999. @throws CloisterError `cli.usage` */
export function count(option: string, text: string, most = 999): number {
  const value = Number(text)
  if (/^\d{1,3}$/.test(text) && value >= 1 && value <= most) return value
  throw badOption(`--${option} is no count`, `a whole number from 1 to ${most}`, text)
}

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  m: 1,
  mi: 1,
  g: 1024,
  gi: 1024,
  t: 1024 ** 2,
  ti: 1024 ** 2,
}

/**
 * A size such as 512M or 2G, in MiB.
 *
 * @param bounds - MiB; absent: whatever can be written
 * @throws CloisterError `cli.usage`
 */
export function mebibytes(
  option: string,
  text: string,
  bounds: { readonly min: number; readonly max: number } = { min: 0, max: Infinity },
): number {
  const match = /^(\d{1,7})(m|mi|g|gi|t|ti)?b?$/i.exec(text)
  const unit = UNITS[(match?.[2] ?? '').toLowerCase()]
  if (match === null || unit === undefined)
    throw badOption(`--${option} is no size`, 'such as 512M or 2G', text)
  const size = Number(match[1]) * unit
  if (size >= bounds.min && size <= bounds.max) return size
  throw badOption(`--${option} is out of bounds`, `${bounds.min}M to ${bounds.max}M`, text)
}

/** 8 bytes as `dmidecode -t processor` prints them: `F8 06 08 00 FF FB 8B 1F`. @throws CloisterError `cli.usage` */
export function processorId(text: string | undefined): Uint8Array | undefined {
  if (text === undefined) return undefined
  const digits = text.replaceAll(' ', '')
  if (/^[0-9a-fA-F]{16}$/.test(digits)) return Buffer.from(digits, 'hex')
  throw badOption(
    '--processor-id is none',
    '8 bytes in hex, the ID in `dmidecode -t processor` of a TD on such processors',
    text,
  )
}
