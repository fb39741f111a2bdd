/**
 * Go's `fmt.Sprintf` over Rego values: verbs, flags, width, precision, argument indexes.
 * As OPA calls it: integers arrive as integers, other numbers as floats, strings bare, everything else as its text.
 */
import { formatNumber, isInteger } from '../number.ts'
import { stringify, type Value } from '../value.ts'
import { BuiltinError } from './registry.ts'

interface Directive {
  readonly minus: boolean
  readonly plus: boolean
  readonly sharp: boolean
  readonly space: boolean
  readonly zero: boolean
  readonly width: number | undefined
  readonly precision: number | undefined
  readonly verb: string
}

/** Go refuses widths beyond a million; so do we. */
const MAX_WIDTH = 1_000_000

export function sprintf(format: string, args: readonly Value[]): string {
  return new Formatter(format, args).run()
}

class Formatter {
  readonly #format: string
  readonly #args: readonly Value[]
  #at = 0
  #next = 0
  #reordered = false

  constructor(format: string, args: readonly Value[]) {
    this.#format = format
    this.#args = args
  }

  run(): string {
    const parts: string[] = []
    while (this.#at < this.#format.length) {
      const percent = this.#format.indexOf('%', this.#at)
      if (percent === -1) {
        parts.push(this.#format.slice(this.#at))
        break
      }
      parts.push(this.#format.slice(this.#at, percent))
      this.#at = percent + 1
      parts.push(this.#directive())
    }
    if (!this.#reordered && this.#next < this.#args.length) parts.push(this.#extra())
    return parts.join('')
  }

  #extra(): string {
    const rest = this.#args.slice(this.#next).map((arg) => `${goType(arg)}=${plain(arg)}`)
    return `%!(EXTRA ${rest.join(', ')})`
  }

  #directive(): string {
    const flags = this.#flags()
    this.#index()
    const width = this.#count()
    let precision: number | undefined
    if (this.#format[this.#at] === '.') {
      this.#at++
      this.#index()
      precision = this.#count() ?? 0
    }
    this.#index()
    const verb = String.fromCodePoint(this.#format.codePointAt(this.#at) ?? 0)
    if (this.#at >= this.#format.length) return '%!(NOVERB)'
    this.#at += verb.length
    if (verb === '%') return '%'
    const arg = this.#args[this.#next++]
    if (arg === undefined) return `%!${verb}(${this.#reordered ? 'BADINDEX' : 'MISSING'})`
    return formatValue(arg, {
      ...flags,
      minus: flags.minus || (width ?? 0) < 0,
      width: width === undefined ? undefined : Math.abs(width),
      precision,
      verb,
    })
  }

  #flags(): Omit<Directive, 'width' | 'precision' | 'verb'> {
    const flags = new Set<string>()
    for (; '+-# 0'.includes(this.#format[this.#at] ?? 'x'); this.#at++)
      flags.add(this.#format[this.#at] ?? '')
    return {
      minus: flags.has('-'),
      plus: flags.has('+'),
      sharp: flags.has('#'),
      space: flags.has(' '),
      zero: flags.has('0'),
    }
  }

  /** `[n]`: which argument is next. */
  #index(): void {
    if (this.#format[this.#at] !== '[') return
    const end = this.#format.indexOf(']', this.#at)
    const number = end === -1 ? Number.NaN : Number(this.#format.slice(this.#at + 1, end))
    if (!Number.isInteger(number)) throw new BuiltinError('sprintf: bad argument index')
    this.#reordered = true
    this.#next = number - 1
    this.#at = end + 1
  }

  #count(): number | undefined {
    if (this.#format[this.#at] === '*') {
      this.#at++
      const arg = this.#args[this.#next++]
      if (typeof arg !== 'number' || !Number.isInteger(arg) || Math.abs(arg) > MAX_WIDTH)
        throw new BuiltinError('sprintf: bad width or precision')
      return arg
    }
    const start = this.#at
    while ((this.#format[this.#at] ?? '') >= '0' && (this.#format[this.#at] ?? '') <= '9')
      this.#at++
    if (start === this.#at) return undefined
    const width = Number(this.#format.slice(start, this.#at))
    if (width > MAX_WIDTH) throw new BuiltinError('sprintf: bad width or precision')
    return width
  }
}

function isNumber(arg: Value): arg is number | bigint {
  return typeof arg === 'number' || typeof arg === 'bigint'
}

/** The text of `%v`. */
function plain(arg: Value): string {
  if (typeof arg === 'string') return arg
  return isNumber(arg) ? goNumber(arg) : stringify(arg)
}

/** `%v` of a float is `%g`: an exponent from 1e21 on. */
function goNumber(value: number | bigint): string {
  return formatNumber(value)
}

function goType(arg: Value): string {
  if (isNumber(arg))
    return isInteger(arg) ? (typeof arg === 'bigint' ? '*big.Int' : 'int') : 'float64'
  return 'string'
}

function formatValue(arg: Value, directive: Directive): string {
  const { verb } = directive
  if (verb === 'T') return pad(goType(arg), directive)
  if (isNumber(arg))
    return isInteger(arg)
      ? formatInteger(BigInt(arg), directive)
      : formatFloat(Number(arg), directive)
  if (verb === 't' && typeof arg === 'boolean') return pad(String(arg), directive)
  return formatString(plain(arg), directive)
}

function bad(arg: string, type: string, verb: string): string {
  return `%!${verb}(${type}=${arg})`
}

function formatString(text: string, directive: Directive): string {
  const { verb, precision, sharp, space } = directive
  const cut = precision === undefined ? text : Array.from(text).slice(0, precision).join('')
  switch (verb) {
    case 's':
    case 'v':
      return pad(verb === 'v' && sharp ? JSON.stringify(cut) : cut, directive)
    case 'q':
      return pad(sharp && !cut.includes('`') ? `\`${cut}\`` : JSON.stringify(cut), directive)
    case 'x':
    case 'X': {
      const bytes = Array.from(new TextEncoder().encode(text), (byte) =>
        byte.toString(16).padStart(2, '0'),
      )
      const shown = precision === undefined ? bytes : bytes.slice(0, precision)
      const hex = shown.join(space ? ' ' : '')
      return pad(verb === 'X' ? hex.toUpperCase() : hex, directive)
    }
    default:
      return bad(text, 'string', verb)
  }
}

function signOf(negative: boolean, { plus, space }: Directive): string {
  return negative ? '-' : plus ? '+' : space ? ' ' : ''
}

const BASES: Readonly<Record<string, readonly [number, string]>> = {
  b: [2, '0b'],
  o: [8, '0'],
  O: [8, '0o'],
  d: [10, ''],
  v: [10, ''],
  s: [10, ''],
  x: [16, '0x'],
  X: [16, '0X'],
}

function formatInteger(value: bigint, directive: Directive): string {
  const { verb, sharp, precision } = directive
  if (verb === 'c') return pad(codePoint(value), directive)
  if (verb === 'q') return pad(`'${codePoint(value)}'`, directive)
  if (verb === 'U') return pad(`U+${value.toString(16).toUpperCase().padStart(4, '0')}`, directive)
  if ('eEfFgG'.includes(verb)) return bad(value.toString(), 'int', verb)
  const base = BASES[verb]
  if (base === undefined || verb === 's') return bad(value.toString(), 'int', verb)
  const magnitude = value < 0n ? -value : value
  let digits = magnitude.toString(base[0])
  if (verb === 'X') digits = digits.toUpperCase()
  if (precision !== undefined)
    digits = precision === 0 && value === 0n ? '' : digits.padStart(precision, '0')
  const prefix = sharp || verb === 'O' ? base[1] : ''
  return padNumber(signOf(value < 0n, directive), prefix + digits, {
    ...directive,
    zero: directive.zero && precision === undefined,
  })
}

function codePoint(value: bigint): string {
  return value >= 0n && value <= 0x10ffffn ? String.fromCodePoint(Number(value)) : '\ufffd'
}

function formatFloat(value: number, directive: Directive): string {
  const { verb, precision } = directive
  const magnitude = Math.abs(value)
  const sign = signOf(value < 0, directive)
  switch (verb) {
    case 'e':
    case 'E': {
      const text = goExponent(magnitude.toExponential(precision ?? 6))
      return padNumber(sign, verb === 'E' ? text.toUpperCase() : text, directive)
    }
    case 'f':
    case 'F':
      return padNumber(sign, fixed(magnitude, precision ?? 6), directive)
    case 'v':
    case 'g':
    case 'G': {
      const text = general(magnitude, precision, verb === 'v' ? 21 : undefined)
      return padNumber(sign, verb === 'G' ? text.toUpperCase() : text, directive)
    }
    default:
      return bad(goNumber(value), 'float64', verb)
  }
}

function fixed(value: number, precision: number): string {
  if (precision > 100) throw new BuiltinError('sprintf: bad precision')
  return value < 1e21 ? value.toFixed(precision) : BigInt(value).toString()
}

function goExponent(text: string): string {
  return text.replace(/e([+-])(\d)$/, 'e$10$2')
}

/** `%g`: the exponent form below 1e-4 and from `threshold` digits on. */
function general(value: number, precision: number | undefined, threshold?: number): string {
  const [mantissa = '', exponentText = '0'] =
    precision === undefined
      ? value.toExponential().split('e')
      : value.toExponential(Math.max(precision, 1) - 1).split('e')
  const exponent = Number(exponentText)
  const digits = mantissa.replace('.', '').replace(/0+$/, '')
  const limit =
    threshold ?? (precision === undefined ? Math.max(digits.length, 21) : Math.max(precision, 1))
  if (exponent < -4 || exponent >= limit)
    return goExponent(
      `${mantissa.includes('.') ? mantissa.replace(/\.?0+$/, '') : mantissa}e${exponent < 0 ? '-' : '+'}${Math.abs(exponent)}`,
    )
  const decimals = Math.max(digits.length - 1 - exponent, 0)
  return value.toFixed(Math.min(decimals, 100))
}

function pad(text: string, { width, minus, zero }: Directive): string {
  if (width === undefined) return text
  const missing = width - Array.from(text).length
  if (missing <= 0) return text
  if (minus) return text + ' '.repeat(missing)
  return (zero ? '0' : ' ').repeat(missing) + text
}

function padNumber(sign: string, digits: string, directive: Directive): string {
  const { width, minus, zero } = directive
  if (zero && !minus && width !== undefined) return sign + digits.padStart(width - sign.length, '0')
  return pad(sign + digits, { ...directive, zero: false })
}
