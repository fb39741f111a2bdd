/** Go's durations: `1h15m30.5s`. */
import { BuiltinError } from '../builtins/registry.ts'

const UNITS: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1000n,
  µs: 1000n,
  μs: 1000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
}

/** @throws BuiltinError */
export function parseDuration(text: string): bigint {
  const bad = (): never => {
    throw new BuiltinError('invalid duration')
  }
  if (text.length > 200) return bad()
  const match = /^([+-]?)(.*)$/s.exec(text)
  let rest = match?.[2] ?? ''
  if (rest === '0') return 0n
  if (rest === '') return bad()
  let total = 0n
  while (rest !== '') {
    const part = /^(\d*)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)/.exec(rest)
    if (part === null || ((part[1] ?? '') === '' && (part[2] ?? '') === '')) return bad()
    const unit = UNITS[part[3] ?? ''] as bigint
    const fraction = (part[2] ?? '').slice(0, 20)
    total += BigInt(part[1] || '0') * unit
    if (fraction !== '') total += (BigInt(fraction) * unit) / 10n ** BigInt(fraction.length)
    rest = rest.slice(part[0].length)
  }
  const signed = match?.[1] === '-' ? -total : total
  if (signed >= 2n ** 63n || signed < -(2n ** 63n)) return bad()
  return signed
}
