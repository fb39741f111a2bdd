/**
 * Predicted events of RTMR0 against those of a real log. The log's digests add up to the register, so their order is certain; what the log calls them is a
 * label. Events are therefore matched by digest and order, and what stands between two matches is set side by side.
 */
import { toHex } from '../bytes/hex.ts'
import type { ExplainedEvent } from '../eventlog/explain-log.ts'
import type { MachineEvent } from './machine-events.ts'

/**
 * `predicted`: of just these bytes. `differs`: another value than predicted stands in its place. `unknown`: nothing predicts what is measured there.
 * `unexpected`: nothing is predicted there. `missing`: a predicted event is not in the log.
 */
export type MachineVerdict = 'predicted' | 'differs' | 'unknown' | 'unexpected' | 'missing'

export interface ComparedEvent {
  /** As predicted; of an `unexpected` one what the log says. */
  readonly event: string
  readonly verdict: MachineVerdict
  /** Hex; null where nothing was predicted. */
  readonly expected: string | null
  /** Hex; null where the log has none. */
  readonly received: string | null
  /** What the log says of it, with a mark whether the digest is of that. Null where the log has none. */
  readonly log: { readonly text: string; readonly isMeasured: boolean } | null
}

/** A log of more events is none of a machine that boots directly. */
const MAX_EVENTS = 512

type LogEvent = Pick<ExplainedEvent, 'description' | 'isMeasured'> & { readonly digest: string }

/**
 * @param events - of RTMR0, in the order of the log
 * @throws RangeError for a log that is absurdly long
 */
export function compareMachine(
  predicted: readonly MachineEvent[],
  events: readonly LogEvent[],
): ComparedEvent[] {
  if (events.length > MAX_EVENTS) throw new RangeError('the log has too many events')
  const expected = predicted.map(({ event, digest }) => ({
    event,
    digest: digest === undefined ? null : toHex(digest),
  }))
  const rows: ComparedEvent[] = []
  let [left, right] = [0, 0]
  for (const [nextLeft, nextRight] of [
    ...matches(expected, events),
    [expected.length, events.length],
  ] as const) {
    rows.push(...beside(expected.slice(left, nextLeft), events.slice(right, nextRight)))
    const [one, other] = [expected[nextLeft], events[nextRight]]
    if (one !== undefined && other !== undefined) rows.push(row(one, other, 'predicted'))
    ;[left, right] = [nextLeft + 1, nextRight + 1]
  }
  return rows
}

interface Expected {
  readonly event: string
  readonly digest: string | null
}

/** Places of the longest common sequence of digests. */
function matches(
  expected: readonly Expected[],
  events: readonly LogEvent[],
): (readonly [number, number])[] {
  const width = events.length + 1
  const longest = new Uint32Array((expected.length + 1) * width)
  const at = (left: number, right: number) => longest[left * width + right] as number
  const isMatch = (left: number, right: number) => expected[left]?.digest === events[right]?.digest
  for (let left = expected.length - 1; left >= 0; left--)
    for (let right = events.length - 1; right >= 0; right--)
      longest[left * width + right] = isMatch(left, right)
        ? at(left + 1, right + 1) + 1
        : Math.max(at(left + 1, right), at(left, right + 1))
  const found: (readonly [number, number])[] = []
  let [left, right] = [0, 0]
  while (left < expected.length && right < events.length) {
    if (isMatch(left, right)) found.push([left++, right++])
    else if (at(left + 1, right) >= at(left, right + 1)) left++
    else right++
  }
  return found
}

/** As many on both sides stand for each other; else which is which cannot be told, and each stands alone. */
function beside(expected: readonly Expected[], events: readonly LogEvent[]): ComparedEvent[] {
  if (expected.length === events.length)
    return expected.map((one, index) => {
      const other = events[index] as LogEvent
      return row(one, other, one.digest === null ? 'unknown' : 'differs')
    })
  return [
    ...expected.map(({ event, digest }): ComparedEvent => ({
      event,
      verdict: 'missing',
      expected: digest,
      received: null,
      log: null,
    })),
    ...events.map((event) => row({ event: event.description, digest: null }, event, 'unexpected')),
  ]
}

function row(
  { event, digest: expected }: Expected,
  { digest: received, description: text, isMeasured }: LogEvent,
  verdict: MachineVerdict,
): ComparedEvent {
  return { event, verdict, expected, received, log: { text, isMeasured } }
}
