/** `time.*`: instants are nanoseconds since 1970, dates the proleptic Gregorian calendar. */
import { fromBigInt } from '../number.ts'
import { formatTime, layoutOf, parseTime, RFC3339 } from '../time/layout.ts'
import { civilIn, daysFromCivil, type Civil } from '../time/civil.ts'
import { parseDuration } from '../time/duration.ts'
import { offsetAt } from '../time/zone.ts'
import { isArray, typeName, type Value } from '../value.ts'
import * as operand from './operands.ts'
import { BuiltinError, type Builtin } from './registry.ts'

const NS = 1_000_000_000n
/** Instants are 64-bit. */
const MAX_NS = 2n ** 63n

function checked(ns: bigint): bigint {
  if (ns < -MAX_NS || ns >= MAX_NS) throw new BuiltinError('time outside of valid range')
  return ns
}

/** An instant, alone or in an array with a time zone and more. */
function instant(
  args: readonly Value[],
  at: number,
): { ns: bigint; zone: string; layout: string | undefined } {
  const arg = args[at] as Value
  const parts = isArray(arg) ? arg : [arg]
  const [ns, zone = 'UTC', layout] = parts
  if (typeof zone !== 'string') throw new BuiltinError('the time zone must be a string')
  if (layout !== undefined && typeof layout !== 'string')
    throw new BuiltinError('the layout must be a string')
  if (ns === undefined || (typeof ns !== 'number' && typeof ns !== 'bigint'))
    throw new BuiltinError(
      `operand ${at + 1} must be a number or an array of number and time zone, got ${typeName(arg)}`,
    )
  if (typeof ns === 'number' && !Number.isInteger(ns))
    throw new BuiltinError('timestamp must be an integer')
  return { ns: checked(BigInt(ns)), zone, layout }
}

function civil(args: readonly Value[], at: number): Civil {
  const { ns, zone } = instant(args, at)
  return civilIn(ns, offsetAt(ns, zone))
}

const WEEKDAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']

function format(args: readonly Value[]): Value {
  const { ns, zone, layout } = instant(args, 0)
  if (layout !== undefined) return formatTime(ns, zone, layoutOf(layout))
  // Whole thousands of a second, as the engines that Confidential Containers run print it.
  const digits =
    ns % NS === 0n
      ? ''
      : ns % 1_000_000n === 0n
        ? '.000'
        : ns % 1000n === 0n
          ? '.000000'
          : '.000000000'
  return formatTime(ns, zone, `2006-01-02T15:04:05${digits}Z07:00`)
}

function parse(layout: string, text: string): Value {
  return fromBigInt(checked(parseTime(layoutOf(layout), text)))
}

function addDate(args: readonly Value[]): Value {
  const { ns, zone } = instant(args, 0)
  const [years, months, days] = [1, 2, 3].map((at) => operand.safeInteger(args, at)) as [
    number,
    number,
    number,
  ]
  const offset = offsetAt(ns, zone)
  const date = civilIn(ns, offset)
  const month = date.month - 1 + months
  const year = date.year + years + Math.floor(month / 12)
  if (Math.abs(year) > 100_000) throw new BuiltinError('time outside of valid range')
  const day = daysFromCivil(year, (((month % 12) + 12) % 12) + 1, 1) + date.day - 1 + days
  if (!Number.isSafeInteger(day)) throw new BuiltinError('time outside of valid range')
  const local = BigInt(day) * 86_400n * NS + date.nsOfDay
  // The zone's offset on the new day may be another one.
  const guess = local - BigInt(offset) * NS
  return fromBigInt(checked(local - BigInt(offsetAt(checked(guess), zone)) * NS))
}

/** Years to seconds between two instants, each in its own zone, as a calendar counts them. */
function diff(args: readonly Value[]): Value {
  const first = instant(args, 0)
  const second = instant(args, 1)
  const [from, to] = first.ns <= second.ns ? [first, second] : [second, first]
  const a = civilIn(from.ns, offsetAt(from.ns, from.zone))
  const b = civilIn(to.ns, offsetAt(to.ns, from.zone))
  let [year, month, day] = [b.year - a.year, b.month - a.month, b.day - a.day]
  let [hour, minute, second_] = [b.hour - a.hour, b.minute - a.minute, b.second - a.second]
  if (second_ < 0) {
    second_ += 60
    minute--
  }
  if (minute < 0) {
    minute += 60
    hour--
  }
  if (hour < 0) {
    hour += 24
    day--
  }
  if (day < 0) {
    const start = daysFromCivil(a.year, a.month, 1)
    const next =
      a.month === 12 ? daysFromCivil(a.year + 1, 1, 1) : daysFromCivil(a.year, a.month + 1, 1)
    day += next - start
    month--
  }
  if (month < 0) {
    month += 12
    year--
  }
  return [year, month, day, hour, minute, second_]
}

function weekday(args: readonly Value[]): Value {
  const { year, month, day } = civil(args, 0)
  const days = daysFromCivil(year, month, day)
  return WEEKDAYS[(((days + 4) % 7) + 7) % 7] as string
}

export const TIMES: Readonly<Record<string, Builtin>> = {
  'time.now_ns': { arity: 0, call: (_, context) => fromBigInt(context.nowNs) },
  'time.parse_ns': {
    arity: 2,
    call: (args) => parse(operand.string(args, 0), operand.string(args, 1)),
  },
  'time.parse_rfc3339_ns': {
    arity: 1,
    call: (args) => fromBigInt(checked(parseTime(RFC3339, operand.string(args, 0)))),
  },
  'time.parse_duration_ns': {
    arity: 1,
    call: (args) => fromBigInt(parseDuration(operand.string(args, 0))),
  },
  'time.format': { arity: 1, call: format },
  'time.date': {
    arity: 1,
    call: (args) => {
      const { year, month, day } = civil(args, 0)
      return [year, month, day]
    },
  },
  'time.clock': {
    arity: 1,
    call: (args) => {
      const { hour, minute, second } = civil(args, 0)
      return [hour, minute, second]
    },
  },
  'time.weekday': { arity: 1, call: weekday },
  'time.add_date': { arity: 4, call: addDate },
  'time.diff': { arity: 2, call: diff },
}
