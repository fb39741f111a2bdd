/**
 * Rego's numbers. An integer is a `number` while it is safe and a `bigint` beyond; anything else is a 64-bit
 * float. Each value has one form, so `===` compares: a `number` beyond the safe range never occurs.
 */

export type RegoNumber = number | bigint

/** The longest integer in digits. One literal `1e999999999` would otherwise fill the memory. */
export const MAX_DIGITS = 20_000

const NUMBER = /^-?(?:0|[1-9][0-9]*)(\.[0-9]+)?(?:[eE]([+-]?[0-9]+))?$/

/** The one form of a computed float. Not finite gives undefined. */
export function fromFloat(value: number): RegoNumber | undefined {
  if (Number.isSafeInteger(value)) return value === 0 ? 0 : value
  if (!Number.isFinite(value)) return undefined
  return Number.isInteger(value) ? BigInt(value) : value
}

/** Arithmetic on longer integers takes milliseconds an operation, which no count of steps would bound. */
const LARGEST = 1n << 1_048_576n
const SMALLEST = -LARGEST

/** The one form of a computed integer. @throws RangeError when it has more than 2^20 bits */
export function fromBigInt(value: bigint): RegoNumber {
  const small = Number(value)
  if (Number.isSafeInteger(small)) return small
  if (value > LARGEST || value < SMALLEST) throw new RangeError('the integer is too large')
  return value
}

/** Parses JSON's number grammar. Undefined when it is not one, too long or too large. */
export function parseNumber(text: string): RegoNumber | undefined {
  const match = NUMBER.exec(text)
  if (match === null || text.length > MAX_DIGITS) return undefined
  const float = Number(text)
  if (Number.isSafeInteger(float) && (match[1] === undefined || isWholeDecimal(text)))
    return float === 0 ? 0 : float
  return parseWhole(text, match[1] ?? '', match[2]) ?? fromFloat(float)
}

function isWholeDecimal(text: string): boolean {
  return parseWhole(text, '.', undefined) !== undefined
}

/** The exact integer that a decimal with exponent stands for; undefined when it has a fraction. */
function parseWhole(
  text: string,
  fraction: string,
  exponent: string | undefined,
): RegoNumber | undefined {
  const mantissa = text.split(/[eE]/, 1)[0] ?? ''
  const [whole = '', decimals = ''] = mantissa.split('.')
  const significant = fraction === '' ? '' : decimals.replace(/0+$/, '')
  const shift = Number(exponent ?? text.split(/[eE]/)[1] ?? 0) - significant.length
  if (shift < 0) {
    // 1200e-2 is whole; look for as many zeros as are shifted out.
    const digits = whole + significant
    const cut = digits.slice(shift)
    if (-shift >= digits.length || !/^0+$/.test(cut)) return Number(mantissa) === 0 ? 0 : undefined
    return fromBigInt(BigInt(digits.slice(0, shift) || '0'))
  }
  if (shift + whole.length > MAX_DIGITS) return undefined
  const value = BigInt(`${whole}${significant}${'0'.repeat(shift)}`)
  return fromBigInt(value)
}

/** As OPA prints it: integers in full, floats in the shortest form that reads back. */
export function formatNumber(value: RegoNumber): string {
  if (typeof value === 'bigint') return value.toString()
  return Number.isInteger(value) ? value.toString() : formatFloat(value)
}

/** JavaScript prints exponents like Go's `%g` but for the width of the exponent. */
function formatFloat(value: number): string {
  return value.toString().replace(/e([+-])(\d)$/, 'e$10$2')
}

export function compareNumbers(left: RegoNumber, right: RegoNumber): number {
  return left < right ? -1 : left > right ? 1 : 0
}

export function isInteger(value: RegoNumber): boolean {
  return typeof value === 'bigint' || Number.isInteger(value)
}

function exact(
  left: RegoNumber,
  right: RegoNumber,
  floats: (a: number, b: number) => number,
  integers: (a: bigint, b: bigint) => bigint,
): RegoNumber | undefined {
  if (isInteger(left) && isInteger(right)) return fromBigInt(integers(BigInt(left), BigInt(right)))
  return fromFloat(floats(Number(left), Number(right)))
}

export function add(left: RegoNumber, right: RegoNumber): RegoNumber | undefined {
  if (typeof left === 'number' && typeof right === 'number') {
    const sum = left + right
    if (Number.isSafeInteger(sum) || !Number.isInteger(sum)) return sum
  }
  return exact(
    left,
    right,
    (a, b) => a + b,
    (a, b) => a + b,
  )
}

export function subtract(left: RegoNumber, right: RegoNumber): RegoNumber | undefined {
  return add(left, negate(right))
}

export function negate(value: RegoNumber): RegoNumber {
  if (typeof value === 'bigint') return fromBigInt(-value)
  return value === 0 ? 0 : -value
}

export function multiply(left: RegoNumber, right: RegoNumber): RegoNumber | undefined {
  if (typeof left === 'number' && typeof right === 'number') {
    const product = left * right
    if (Number.isSafeInteger(product)) return product === 0 ? 0 : product
    if (!Number.isInteger(left) || !Number.isInteger(right)) return fromFloat(product)
  }
  return exact(
    left,
    right,
    (a, b) => a * b,
    (a, b) => a * b,
  )
}

/** Exact for whole quotients. Undefined when the divisor is zero or the result not finite. */
export function divide(left: RegoNumber, right: RegoNumber): RegoNumber | undefined {
  if (right === 0) return undefined
  if (typeof left === 'bigint' || typeof right === 'bigint') {
    if (isInteger(left) && isInteger(right)) {
      const [a, b] = [BigInt(left), BigInt(right)]
      if (a % b === 0n) return fromBigInt(a / b)
    }
  }
  return fromFloat(Number(left) / Number(right))
}

/** Remainder of integers with the sign of the dividend, as Go's. The divisor is not zero. */
export function remainder(left: RegoNumber, right: RegoNumber): RegoNumber {
  if (typeof left === 'number' && typeof right === 'number') {
    const rest = left % right
    return rest === 0 ? 0 : rest
  }
  return fromBigInt(BigInt(left) % BigInt(right))
}
