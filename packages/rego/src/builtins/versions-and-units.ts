/** Semantic versions, units and UUIDs. */
import * as numbers from '../number.ts'
import { ObjectBuilder, type Value } from '../value.ts'
import * as operand from './operands.ts'
import { BuiltinError, type Builtin, type BuiltinContext } from './registry.ts'

interface Version {
  readonly numbers: readonly bigint[]
  readonly pre: readonly string[]
}

const SEMVER =
  /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)(?:\.(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*))*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?$/

function parseVersion(text: string): Version | undefined {
  const match = text.length > 256 ? null : SEMVER.exec(text)
  if (match === null) return undefined
  return {
    numbers: [match[1], match[2], match[3]].map((part) => BigInt(part ?? 0)),
    pre: match[4] === undefined ? [] : match[4].split('.'),
  }
}

function compareVersions(args: readonly Value[]): Value {
  const [a, b] = [0, 1].map((at) => {
    const text = operand.string(args, at)
    const version = parseVersion(text)
    if (version === undefined)
      throw new BuiltinError(
        `operand ${at + 1}: string "${text.slice(0, 40)}" is not a valid SemVer`,
      )
    return version
  }) as [Version, Version]
  for (let at = 0; at < 3; at++) {
    const [left, right] = [a.numbers[at] as bigint, b.numbers[at] as bigint]
    if (left !== right) return left < right ? -1 : 1
  }
  return comparePre(a.pre, b.pre)
}

/** A version with a pre-release comes before the one without. */
function comparePre(a: readonly string[], b: readonly string[]): number {
  if (a.length === 0 || b.length === 0) return Math.sign(b.length - a.length)
  for (let at = 0; at < Math.min(a.length, b.length); at++) {
    const order = compareIdentifiers(a[at] as string, b[at] as string)
    if (order !== 0) return order
  }
  return Math.sign(a.length - b.length)
}

function compareIdentifiers(a: string, b: string): number {
  const [left, right] = [/^\d+$/.test(a), /^\d+$/.test(b)]
  if (left !== right) return left ? -1 : 1
  if (left) return Math.sign(Number(BigInt(a) > BigInt(b)) - Number(BigInt(a) < BigInt(b)))
  return a < b ? -1 : a > b ? 1 : 0
}

const DECIMAL: Readonly<Record<string, number>> = {
  q: -30,
  r: -27,
  y: -24,
  z: -21,
  a: -18,
  f: -15,
  n: -9,
  μ: -6,
  µ: -6,
  u: -6,
  m: -3,
  c: -2,
  d: -1,
  '': 0,
  da: 1,
  h: 2,
  k: 3,
  K: 3,
  M: 6,
  g: 9,
  G: 9,
  t: 12,
  T: 12,
  p: 15,
  P: 15,
  e: 18,
  E: 18,
  Z: 21,
  Y: 24,
  R: 27,
  Q: 30,
}
const BINARY: Readonly<Record<string, bigint>> = {
  ki: 10n,
  mi: 20n,
  gi: 30n,
  ti: 40n,
  pi: 50n,
  ei: 60n,
  zi: 70n,
  yi: 80n,
}

/** A number and its suffix; quotes around the whole are taken off. */
function splitUnit(args: readonly Value[]): { number: string; suffix: string } {
  const text = operand.string(args, 0).replaceAll('"', '')
  if (text === '') throw new BuiltinError('no amount provided')
  if (/\s/.test(text)) throw new BuiltinError('spaces not allowed in resource strings')
  const match = /^([-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?)(.*)$/s.exec(text)
  if (match === null || text.length > 200)
    throw new BuiltinError('could not parse amount to a number')
  return { number: match[1] ?? '', suffix: match[2] ?? '' }
}

/** `units.parse`: the case of `m` matters, 10^-3 against 10^6; other cases do not. */
function parseUnits(args: readonly Value[]): Value | undefined {
  const { number, suffix } = splitUnit(args)
  const binary = BINARY[suffix.toLowerCase()]
  if (binary !== undefined) return scaled(number, 2n ** binary)
  const exponent = DECIMAL[suffix]
  if (exponent === undefined) return undefined
  if (exponent >= 0) return scaled(number, 10n ** BigInt(exponent))
  const value = exactNumber(`${number}e${exponent}`)
  return value
}

function exactNumber(text: string): numbers.RegoNumber {
  const [mantissa = '', ...exponents] = text.split(/e/i)
  const exponent = exponents.reduce((sum, part) => sum + Number(part), 0)
  const [whole = '', decimals = ''] = mantissa.replace(/^\+/, '').split('.')
  const digits = `${/^-?$/.test(whole) ? `${whole}0` : whole.replace(/^(-?)0+(?=\d)/, '$1')}${decimals === '' ? '' : `.${decimals}`}`
  const value = numbers.parseNumber(`${digits}e${exponent}`)
  if (value === undefined) throw new BuiltinError('could not parse amount to a number')
  return value
}

function scaled(number: string, factor: bigint): Value {
  const value = exactNumber(number)
  const product = numbers.multiply(value, numbers.fromBigInt(factor))
  if (product === undefined) throw new BuiltinError('could not parse amount to a number')
  return product
}

const BYTES: Readonly<Record<string, bigint>> = {
  '': 1n,
  k: 10n ** 3n,
  m: 10n ** 6n,
  g: 10n ** 9n,
  t: 10n ** 12n,
  p: 10n ** 15n,
  e: 10n ** 18n,
  ki: 2n ** 10n,
  mi: 2n ** 20n,
  gi: 2n ** 30n,
  ti: 2n ** 40n,
  pi: 2n ** 50n,
  ei: 2n ** 60n,
}

/** `units.parse_bytes`: sizes with or without `b`, in any case; fractions of a byte are cut off. */
function parseBytes(args: readonly Value[]): Value {
  const { number, suffix } = splitUnit(args)
  const factor = BYTES[suffix.toLowerCase().replace(/b$/, '')]
  if (factor === undefined)
    throw new BuiltinError(`byte unit ${suffix.slice(0, 20)} not recognized`)
  const value = scaled(number, factor)
  return typeof value === 'number' ? Math.trunc(value) : value
}

function formatUuid(bytes: Uint8Array): string {
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

/** The same argument gives the same UUID within one evaluation. */
function randomUuid(args: readonly Value[], context: BuiltinContext): Value {
  const id = `uuid.rfc4122 ${operand.string(args, 0)}`
  let uuid = context.memo.get(id)
  if (uuid === undefined) {
    const bytes = context.random(16)
    bytes[6] = ((bytes[6] as number) & 0x0f) | 0x40
    bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80
    uuid = formatUuid(bytes)
    context.memo.set(id, uuid)
  }
  return uuid
}

const VARIANTS: readonly (readonly [number, number, string])[] = [
  [0x80, 0x00, 'Reserved'],
  [0xc0, 0x80, 'RFC4122'],
  [0xe0, 0xc0, 'Microsoft'],
  [0xe0, 0xe0, 'Future'],
]
const DOMAINS = ['Person', 'Group', 'Org']
/** From 1582-10-15 to 1970-01-01, in units of 100 ns. */
const GREGORIAN = 122_192_928_000_000_000n

function parseUuid(args: readonly Value[]): Value | undefined {
  const text = operand.string(args, 0)
  const match =
    /^(?:urn:uuid:|\{)?([0-9a-fA-F]{8})-?([0-9a-fA-F]{4})-?([0-9a-fA-F]{4})-?([0-9a-fA-F]{4})-?([0-9a-fA-F]{12})\}?$/i.exec(
      text,
    )
  if (match === null) return undefined
  const hex = match.slice(1).join('')
  const bytes = Uint8Array.from({ length: 16 }, (_, at) =>
    Number.parseInt(hex.slice(at * 2, at * 2 + 2), 16),
  )
  const at = (index: number): number => bytes[index] as number
  const version = at(6) >> 4
  const builder = new ObjectBuilder()
  builder.set('version', version)
  builder.set('variant', VARIANTS.find(([mask, bits]) => (at(8) & mask) === bits)?.[2] ?? 'Unknown')
  if (version === 1 || version === 2) {
    const node = Array.from(bytes.subarray(10), (byte) => byte.toString(16).padStart(2, '0')).join(
      '-',
    )
    builder.set('nodeid', node)
    builder.set('macvariables', macVariables(at(10)))
    const high = BigInt(`0x${hex.slice(13, 16)}`)
    const middle = BigInt(`0x${hex.slice(8, 12)}`)
    const low = BigInt(`0x${hex.slice(0, 8)}`)
    const time = (high << 48n) | (middle << 32n) | low
    builder.set('time', numbers.fromBigInt((time - GREGORIAN) * 100n))
    builder.set('clocksequence', ((at(8) & 0x3f) << 8) | at(9))
  }
  if (version === 6) {
    const time = (BigInt(`0x${hex.slice(0, 12)}`) << 12n) | BigInt(`0x${hex.slice(13, 16)}`)
    builder.set('time', numbers.fromBigInt((time - GREGORIAN) * 100n))
  }
  if (version === 7)
    builder.set('time', numbers.fromBigInt(BigInt(`0x${hex.slice(0, 12)}`) * 1_000_000n))
  if (version === 2) {
    builder.set('id', Number.parseInt(hex.slice(0, 8), 16))
    builder.set('domain', DOMAINS[at(9)] ?? `Domain${at(9)}`)
  }
  return builder.build()
}

function macVariables(first: number): string {
  const scope = (first & 2) === 0 ? 'global' : 'local'
  return `${scope}:${(first & 1) === 0 ? 'unicast' : 'multicast'}`
}

export const VERSIONS_AND_UNITS: Readonly<Record<string, Builtin>> = {
  'semver.is_valid': {
    arity: 1,
    call: (args) => parseVersion(operand.string(args, 0)) !== undefined,
  },
  'semver.compare': { arity: 2, call: compareVersions },
  'units.parse': { arity: 1, call: parseUnits },
  'units.parse_bytes': { arity: 1, call: parseBytes },
  'uuid.rfc4122': { arity: 1, call: randomUuid },
  'uuid.parse': { arity: 1, call: parseUuid },
}
