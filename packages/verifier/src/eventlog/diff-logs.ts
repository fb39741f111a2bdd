/** Two event logs: for each register that they leave at other values, the first event in which they part, and why in words. */
import { fromHex } from '../bytes/hex.ts'
import { BOOT_CAUSES, GROWN_TABLE } from './boot-causes.ts'
import type { BootComponent } from './boot-events.ts'
import type { ExplainedEvent, ExplainedLog } from './explain-log.ts'
import { isGrownTable } from './gpt-event.ts'

export interface LogDifference {
  /** `PCR 8`, `RTMR 2`. */
  readonly register: string
  /**
   * Of the first event in which the logs part: B has another one, one more, one fewer, the same ones in another order, or other values though the
   * events are the same (a TPM started at another locality).
   */
  readonly kind: 'changed' | 'added' | 'removed' | 'reordered' | 'start'
  readonly component: BootComponent
  /** The specification's name of the event's type. */
  readonly event: string
  /** Null where that log has no such event. */
  readonly a: DifferenceSide | null
  readonly b: DifferenceSide | null
  readonly cause: string
  /** Events of this register, beside the ones named, that only one of the logs has. */
  readonly more: number
}

export type DifferenceSide = Pick<ExplainedEvent, 'number' | 'description' | 'digest'>

type Parting = Pick<LogDifference, 'kind'> & {
  readonly one?: ExplainedEvent
  readonly other?: ExplainedEvent
  /** The log without such an event has nothing more in this register. */
  readonly isEnd?: boolean
}

const MAX_WORDS_TOLD = 6
const MAX_WORD = 80

/**
 * In the order of the boot: what comes first is the likely reason for the rest.
 *
 * @param a, b - of the same bank
 * @throws RangeError when they are not
 */
export function diffLogs(a: ExplainedLog, b: ExplainedLog): LogDifference[] {
  if (a.bank !== b.bank) throw new RangeError('logs are compared in one bank')
  const names = [...new Set([...a.registers.keys(), ...b.registers.keys()])]
  return names
    .filter((register) => a.registers.get(register) !== b.registers.get(register))
    .map((register) => diffRegister(register, extensions(a, register), extensions(b, register)))
    .toSorted((one, other) => placeOf(one) - placeOf(other))
}

function placeOf({ a, b }: LogDifference): number {
  return Math.min(a?.number ?? Number.MAX_SAFE_INTEGER, b?.number ?? Number.MAX_SAFE_INTEGER)
}

function extensions({ events }: ExplainedLog, register: string): ExplainedEvent[] {
  return events.filter((event) => event.register === register && event.digest !== null)
}

function diffRegister(
  register: string,
  a: readonly ExplainedEvent[],
  b: readonly ExplainedEvent[],
): LogDifference {
  let at = 0
  while (at < Math.min(a.length, b.length) && a[at]?.digest === b[at]?.digest) at++
  const parting = partingOf(a.slice(at), b.slice(at))
  const { kind, one, other } = parting
  const shown = other ?? one ?? a[0]
  if (shown === undefined) throw new RangeError('a register without events has no value')
  return {
    register,
    kind,
    component: shown.component,
    event: shown.event,
    a: one === undefined ? null : sideOf(one),
    b: other === undefined ? null : sideOf(other),
    cause: causeOf(parting, shown),
    more: onlyInOne(a, b) - namedOnlyInOne(parting),
  }
}

function sideOf({ number, description, digest }: ExplainedEvent): DifferenceSide {
  return { number, description, digest }
}

/** @param a, b - what follows the last event in common */
function partingOf(a: readonly ExplainedEvent[], b: readonly ExplainedEvent[]): Parting {
  const [one] = a
  const [other] = b
  if (one === undefined)
    return other === undefined ? { kind: 'start' } : { kind: 'added', other, isEnd: true }
  if (other === undefined) return { kind: 'removed', one, isEnd: true }
  const isLater = (event: ExplainedEvent, events: readonly ExplainedEvent[]) =>
    events.some(({ digest }) => digest === event.digest)
  const comesInB = isLater(one, b)
  const cameInA = isLater(other, a)
  if (comesInB && cameInA) return { kind: 'reordered', one, other }
  if (comesInB) return { kind: 'added', other }
  if (cameInA) return { kind: 'removed', one }
  return { kind: 'changed', one, other }
}

/** How many events have no counterpart of the same digest. */
function onlyInOne(a: readonly ExplainedEvent[], b: readonly ExplainedEvent[]): number {
  const counts = new Map<string, number>()
  for (const { digest } of a) counts.set(digest ?? '', (counts.get(digest ?? '') ?? 0) + 1)
  for (const { digest } of b) counts.set(digest ?? '', (counts.get(digest ?? '') ?? 0) - 1)
  return [...counts.values()].reduce((sum, count) => sum + Math.abs(count), 0)
}

function namedOnlyInOne({ kind }: Parting): number {
  if (kind === 'changed') return 2
  return kind === 'added' || kind === 'removed' ? 1 : 0
}

function causeOf({ kind, one, other, isEnd }: Parting, shown: ExplainedEvent): string {
  const meaning = BOOT_CAUSES[shown.component]
  switch (kind) {
    case 'start':
      return 'the events are the same, but the register began at another value: the TPM was started at another locality'
    case 'reordered':
      return `the same events in another order: A has "${short(one)}" first, B "${short(other)}"`
    case 'added':
      if (isEnd === true) return `A has nothing more here, B goes on with "${short(other)}"`
      return `only B has "${short(other)}" here: ${meaning}`
    case 'removed':
      if (isEnd === true) return `B has nothing more here, A goes on with "${short(one)}"`
      return `only A has "${short(one)}" here: ${meaning}`
    case 'changed':
      return changeOf(one, other, meaning)
    default:
      return kind satisfies never
  }
}

function changeOf(
  one: ExplainedEvent | undefined,
  other: ExplainedEvent | undefined,
  meaning: string,
): string {
  if (one === undefined || other === undefined) return meaning
  if (one.component !== other.component || one.event !== other.event)
    return `A has "${short(one)}" where B has "${short(other)}"`
  const { component } = one
  if (component === 'partition table' && isGrown(one, other)) return GROWN_TABLE
  if (component === 'Secure Boot state') return `A: ${one.description}; B: ${other.description}`
  if (component === 'kernel command line' || component === 'grub command') {
    const name = component === 'grub command' ? "GRUB's command" : "the kernel's command line"
    return `${name} differs: ${wordsThatDiffer(one.subject ?? '', other.subject ?? '')}`
  }
  if (one.description === other.description) return `"${short(one)}" has other contents: ${meaning}`
  return `A has "${short(one)}", B "${short(other)}": ${meaning}`
}

function isGrown({ data: before }: ExplainedEvent, { data: after }: ExplainedEvent): boolean {
  if (before === undefined || after === undefined) return false
  return isGrownTable(fromHex(before), fromHex(after))
}

/** Words of one text that the other does not have, in their order. */
function wordsThatDiffer(a: string, b: string): string {
  const [inA, inB] = [a.split(/\s+/), b.split(/\s+/)]
  const gone = only(inA, inB)
  const come = only(inB, inA)
  if (gone.length === 0 && come.length === 0)
    return 'the same words in another order, or other white space'
  return [
    ...(gone.length > 0 ? [`only A has ${told(gone)}`] : []),
    ...(come.length > 0 ? [`only B has ${told(come)}`] : []),
  ].join(', ')
}

function only(words: readonly string[], others: readonly string[]): string[] {
  const known = new Set(others)
  return words.filter((word) => !known.has(word))
}

function told(words: readonly string[]): string {
  const list = words.slice(0, MAX_WORDS_TOLD).map((word) => `"${word.slice(0, MAX_WORD)}"`)
  return words.length > MAX_WORDS_TOLD ? `${list.join(' ')} …` : list.join(' ')
}

function short(event: ExplainedEvent | undefined): string {
  const text = event?.description ?? ''
  return text.length > MAX_WORD ? `${text.slice(0, MAX_WORD)}…` : text
}
