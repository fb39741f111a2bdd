/** Compares a boot with its baseline, event by event, and names what differs. */
import { fromHex, toHex } from '../bytes/hex.ts'
import { BOOT_CAUSES, GROWN_TABLE } from './boot-causes.ts'
import { bootEvents } from './boot-events.ts'
import type { BootComponent, BootEvent } from './boot-events.ts'
import { isGrownTable } from './gpt-event.ts'
import { EARLY_PCRS, LATE_PCRS } from './integrity-baseline.ts'
import type { BaselineRegister, IntegrityBaseline } from './integrity-baseline.ts'
import { replayLog } from './replay.ts'
import type { TcgLog } from './tcg-log.ts'

export type PhaseStatus = 'match' | 'mismatch' | 'unknown'

export interface BootChange {
  readonly component: BootComponent
  readonly phase: 'early' | 'late'
  readonly pcr: number
  /** `not-reached`: nothing was measured into this PCR; `expected` is its value then. */
  readonly kind: 'changed' | 'added' | 'removed' | 'reordered' | 'not-reached'
  /** The specification's name of the event's type. */
  readonly event: string
  /** Digests, hex. Absent: there was no such event in the baseline, or is none in this boot. */
  readonly expected?: string
  readonly received?: string
  /** A variable's or file's name, or a command, in this boot or else in the baseline. */
  readonly subject?: string
  /** What it was in the baseline, where that differs. */
  readonly expectedSubject?: string
  /** A difference that comes of ordinary use and lets nothing else run: told, but no mismatch. */
  readonly isExplained: boolean
  /** In words: what such a difference means. */
  readonly cause: string
}

export interface RegisterComparison {
  readonly pcr: number
  readonly status: PhaseStatus
  /** Of this boot, hex; absent: nothing was measured into it. */
  readonly received?: string
  /** Of the baseline, where it is known exactly. */
  readonly expected?: string
  /** Only of one that is `unknown`: why its prediction could not know it. Absent: the baseline does not say. */
  readonly why?: string
}

export interface BootComparison {
  readonly early: PhaseStatus
  readonly late: PhaseStatus
  readonly registers: readonly RegisterComparison[]
  readonly changes: readonly BootChange[]
}

type Difference = Omit<BootChange, 'phase' | 'isExplained' | 'cause'>

/** @throws FormatError when the log lacks digests of the baseline's bank */
export async function compareBoots(
  baseline: IntegrityBaseline,
  log: TcgLog,
): Promise<BootComparison> {
  const { bank } = baseline
  const values = await replayLog(log, bank)
  const present = await bootEvents(log, bank)
  const registers: RegisterComparison[] = []
  const changes: BootChange[] = []
  const compare = (pcr: number, phase: BootChange['phase']): PhaseStatus => {
    const known = baseline.registers.find((register) => register.pcr === pcr)
    const own = present.filter((event) => event.pcr === pcr)
    const value = values.get(pcr)
    const received = value === undefined ? undefined : toHex(value)
    const differences = compareRegister(pcr, known, own, received, baseline)
    const explained = differences.map((one) => ({ phase, ...explain(one, known, own), ...one }))
    const mismatches = explained.some(({ isExplained }) => !isExplained)
    const status = mismatches ? 'mismatch' : statusOf(known, own, baseline)
    changes.push(...explained)
    if (status !== undefined)
      registers.push({
        pcr,
        status,
        ...(received !== undefined && { received }),
        ...(known?.value !== undefined && { expected: known.value }),
        ...(status === 'unknown' && whyUnknown(pcr, baseline)),
      })
    return status ?? 'match'
  }
  const early = EARLY_PCRS.map((pcr) => compare(pcr, 'early'))
  const late = LATE_PCRS.map((pcr) => compare(pcr, 'late'))
  return { early: worst(early), late: worst(late), registers, changes }
}

/** Undefined where there is nothing to say: no event, and none expected. */
function statusOf(
  known: BaselineRegister | undefined,
  own: readonly BootEvent[],
  { origin }: IntegrityBaseline,
): PhaseStatus | undefined {
  if (known === undefined) {
    if (own.length === 0) return undefined
    return origin === 'predicted' ? 'unknown' : 'mismatch'
  }
  switch (known.knowledge) {
    case 'begins':
    case 'command-lines':
    case 'outline':
      return 'unknown'
    case 'boot-entries':
      return own.every(isOfBootEntries) ? 'match' : 'unknown'
    default:
      return 'match'
  }
}

function whyUnknown(pcr: number, { unknown = [] }: IntegrityBaseline): { why?: string } {
  const found = unknown.find((register) => register.pcr === pcr)
  return found === undefined ? {} : { why: found.why }
}

function isOfBootEntries({ component }: BootEvent): boolean {
  return component === 'boot order' || component === 'separator'
}

/** The known events with the digests of this boot where any will do, if it is an event of that type that stands there. */
function filledIn({ events, open = [] }: BaselineRegister, own: readonly BootEvent[]): BootEvent[] {
  return events.map((known, index) => {
    const there = own[index]
    const isOpen = open.includes(index) && there?.event === known.event
    return isOpen ? { ...known, digest: there.digest } : known
  })
}

function worst(statuses: readonly PhaseStatus[]): PhaseStatus {
  if (statuses.includes('mismatch')) return 'mismatch'
  return statuses.includes('unknown') ? 'unknown' : 'match'
}

function compareRegister(
  pcr: number,
  known: BaselineRegister | undefined,
  own: readonly BootEvent[],
  received: string | undefined,
  { origin }: IntegrityBaseline,
): Difference[] {
  if (known === undefined) {
    // A prediction leaves out what it cannot know; a baseline that was learned lists whatever there was.
    return origin === 'predicted' ? [] : own.map((event) => addition(event))
  }
  if (own.length === 0) return known.events.slice(0, 1).map((event) => neverReached(event, known))
  switch (known.knowledge) {
    case 'exact':
      if (known.value !== undefined && known.value === received) return []
      return alignEvents(pcr, known.events, own)
    case 'sequence':
      return alignEvents(pcr, withoutRepeats(known.events), withoutRepeats(own))
    case 'begins':
      return alignEvents(pcr, known.events, own.slice(0, known.events.length))
    case 'outline':
      return alignEvents(pcr, filledIn(known, own), own)
    case 'boot-entries':
      return alignEvents(
        pcr,
        known.events,
        own.filter(({ component }) => component === 'separator'),
      )
    case 'members':
      return compareMembers(known.events, own)
    case 'command-lines':
      return compareMembers(known.events, own.filter(isCommandLine))
    default:
      return known.knowledge satisfies never
  }
}

/** An image that several stages check is measured by each of them. */
function withoutRepeats(events: readonly BootEvent[]): BootEvent[] {
  return events.filter(({ digest }, index) => digest !== events[index - 1]?.digest)
}

function compareMembers(known: readonly BootEvent[], own: readonly BootEvent[]): Difference[] {
  const allowed = new Set(known.map(({ digest }) => digest))
  const seen = new Set(own.map(({ digest }) => digest))
  const missing = known.filter(({ digest }) => !seen.has(digest))
  return own
    .filter(({ digest }) => !allowed.has(digest))
    .map((event) => {
      const before = missing.find(
        (one) => fileName(one) === fileName(event) && one.component === event.component,
      )
      return before === undefined ? addition(event) : change(before, event)
    })
}

function isCommandLine({ component }: BootEvent): boolean {
  return component === 'kernel command line'
}

/** GRUB prefixes the drive where it looked; the drive's number is no part of what was read. */
function fileName({ subject = '' }: BootEvent): string {
  return subject.replace(/^\([^)]*\)/, '')
}

/** Common beginning and end are left out; between them events of one kind and name belong together, in their order. */
function alignEvents(
  pcr: number,
  expected: readonly BootEvent[],
  received: readonly BootEvent[],
): Difference[] {
  let start = 0
  while (start < expected.length && isSame(expected[start], received[start])) start++
  let end = 0
  const shorter = Math.min(expected.length, received.length) - start
  while (end < shorter && isSame(expected.at(-1 - end), received.at(-1 - end))) end++
  const missing = expected.slice(start, expected.length - end)
  const coming = received.slice(start, received.length - end)
  const left = missing.filter(({ digest }) => !takeDigest(coming, digest))
  if (missing.length > 0 && left.length === 0 && coming.length === 0)
    return [reordering(pcr, missing)]
  const differences: Difference[] = []
  for (const event of coming) {
    const place = findPartner(left, event)
    const partner = place < 0 ? undefined : left.splice(place, 1)[0]
    differences.push(partner === undefined ? addition(event) : change(partner, event))
  }
  return [...differences, ...left.map(removal)]
}

function isSame(a: BootEvent | undefined, b: BootEvent | undefined): boolean {
  return a !== undefined && b !== undefined && a.digest === b.digest
}

/** Takes out one event of this digest: it only moved. */
function takeDigest(events: BootEvent[], digest: string): boolean {
  const place = events.findIndex((event) => event.digest === digest)
  if (place >= 0) events.splice(place, 1)
  return place >= 0
}

/** The one of the same kind and name; a command has no name, and the next one of its kind stands for it. */
function findPartner(
  events: readonly BootEvent[],
  { component, event, ...other }: BootEvent,
): number {
  const ofKind = (one: BootEvent) => one.component === component && one.event === event
  const named = events.findIndex(
    (one) => ofKind(one) && fileName(one) === (other.subject ?? '').replace(/^\([^)]*\)/, ''),
  )
  if (named >= 0) return named
  const isName =
    component === 'boot order' || component === 'boot loader' || component === 'grub file'
  return isName ? -1 : events.findIndex(ofKind)
}

function change(
  before: BootEvent,
  { pcr, component, event, digest, subject }: BootEvent,
): Difference {
  const old = before.subject
  return {
    component,
    pcr,
    kind: 'changed',
    event,
    expected: before.digest,
    received: digest,
    ...(subject !== undefined && { subject }),
    ...(old !== undefined && old !== subject && { expectedSubject: old }),
  }
}

function addition({ pcr, component, event, digest, subject }: BootEvent): Difference {
  const named = subject === undefined ? {} : { subject }
  return { component, pcr, kind: 'added', event, received: digest, ...named }
}

function removal({ pcr, component, event, digest, subject }: BootEvent): Difference {
  const named = subject === undefined ? {} : { subject }
  return { component, pcr, kind: 'removed', event, expected: digest, ...named }
}

/** Nothing at all was measured: told once, not for each event. */
function neverReached(first: BootEvent, { value }: BaselineRegister): Difference {
  const { pcr, component, event } = first
  return {
    component,
    pcr,
    kind: 'not-reached',
    event,
    ...(value !== undefined && { expected: value }),
  }
}

function reordering(pcr: number, [first]: readonly BootEvent[]): Difference {
  const { component = 'other', event = '' } = first ?? {}
  return { component, pcr, kind: 'reordered', event }
}

function explain(
  difference: Difference,
  known: BaselineRegister | undefined,
  own: readonly BootEvent[],
): Pick<BootChange, 'isExplained' | 'cause'> {
  const { component, kind, pcr } = difference
  if (kind === 'not-reached')
    return {
      isExplained: false,
      cause: 'the boot did not get that far: something before it was refused',
    }
  if (component === 'boot order')
    return {
      isExplained: true,
      cause:
        'the firmware writes its list of boot entries anew when drives or devices come and go; what is started from it stands in PCR 4',
    }
  if (component === 'firmware action' && pcr === 5)
    return {
      isExplained: true,
      cause:
        'how the firmware handed over to the kernel: a log that was copied just before lacks it, and a second try adds to it; what was started stands in PCR 4',
    }
  if (component === 'partition table' && kind === 'changed' && isGrowth(difference, known, own))
    return {
      isExplained: true,
      cause: GROWN_TABLE,
    }
  return { isExplained: false, cause: BOOT_CAUSES[component] }
}

function isGrowth(
  { expected, received }: Difference,
  known: BaselineRegister | undefined,
  own: readonly BootEvent[],
): boolean {
  const before = known?.events.find(({ digest }) => digest === expected)?.data
  const after = own.find(({ digest }) => digest === received)?.data
  return (
    before !== undefined && after !== undefined && isGrownTable(fromHex(before), fromHex(after))
  )
}
