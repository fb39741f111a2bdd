/** The appraisal of an event log against registers that somebody vouches for: a quote's PCRs, or a TD's RTMRs. */
import { COUNT, FLAG, listOfRule } from '../result/policy-values.ts'
import type { PolicyRules } from '../result/policy-values.ts'
import { equalBytes } from '../bytes/equal.ts'
import { FormatError } from '../bytes/format-error.ts'
import { toHex } from '../bytes/hex.ts'
import { isZero } from '../bytes/reader.ts'
import type { CheckSink } from '../result/check.ts'
import type { HashName } from '../tpm/algorithms.ts'
import { CC_MAP, PCR_MAP, isApplication, readBootState } from './boot-state.ts'
import type { BootState, RegisterMap } from './boot-state.ts'
import type { EventLogCheckCode } from './check-codes.ts'
import { EVENT_TYPE, eventTypeName, isDigestOfData, isKnownEventType } from './event-types.ts'
import { replayLog } from './replay.ts'
import { readSecureBoot } from './secure-boot.ts'
import type { SecureBoot } from './secure-boot.ts'
import { parseTcgLog } from './tcg-log.ts'
import { verifyEvents } from './verified-event.ts'
import type { VerifiedEvent } from './verified-event.ts'

type Checks = CheckSink<EventLogCheckCode>

export interface EventLogPolicy {
  /** A log is required, as the two other demands do too; its absence is `not-checked` otherwise. */
  readonly requireEventLog?: boolean
  /** Refuses a boot without Secure Boot, which is a warning otherwise. */
  readonly requireSecureBoot?: boolean
  /** Accepts, with a warning, Secure Boot variables that are missing or empty, as on boards that were never set up. */
  readonly allowUninitialisedSecureBoot?: boolean
  /** Registers in which everything must be explained by the log; in the others an unlisted extension is a warning. */
  readonly requireExplained?: readonly number[]
}

export const EVENT_LOG_POLICY_KEYS: PolicyRules<EventLogPolicy> = {
  requireEventLog: FLAG,
  requireSecureBoot: FLAG,
  allowUninitialisedSecureBoot: FLAG,
  requireExplained: listOfRule(COUNT, 'a list of numbers'),
}

export interface EventLogRequest {
  /** Absent when the Evidence has none. */
  readonly log: Uint8Array | undefined
  readonly bank: HashName
  /** Vouched for, by index. */
  readonly registers: ReadonlyMap<number, Uint8Array>
  /** `pcr`: a TPM's numbering; `cc`: that of a CCEL. */
  readonly numbering: 'pcr' | 'cc'
  readonly policy: EventLogPolicy
}

export interface BootClaims extends BootState {
  readonly secureBoot: SecureBoot | null
}

/** What the log says, or undefined with the reason among the checks: nothing of a log that does not add up is told. */
export async function appraiseEventLog(
  { log: bytes, bank, registers, numbering, policy }: EventLogRequest,
  checks: Checks,
): Promise<BootClaims | undefined> {
  if (bytes === undefined) {
    checks.add('event-log.missing', isRequired(policy) ? 'undecided' : 'not-checked')
    return undefined
  }
  checks.add('event-log.missing', 'pass')
  try {
    const log = parseTcgLog(bytes)
    const replayed = await replayLog(log, bank)
    checks.add('event-log.malformed', 'pass')
    if (!checkReplay(replayed, registers, checks)) return undefined
    checkUnexplained(replayed, registers, policy, checks)
    const events = await verifyEvents(log, bank)
    const map = numbering === 'pcr' ? PCR_MAP : CC_MAP
    checkEvents(events, numbering, checks)
    checkBootOrder(events, map, checks)
    const secureBoot = checkSecureBoot(events, numbering, policy, checks)
    return { ...(await readBootState(events, bank, map)), secureBoot: secureBoot ?? null }
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    checks.add('event-log.malformed', 'fail', { received: error.message })
    return undefined
  }
}

/** What can only be seen in a log demands one. */
function isRequired({
  requireEventLog,
  requireSecureBoot,
  requireExplained = [],
}: EventLogPolicy): boolean {
  return requireEventLog === true || requireSecureBoot === true || requireExplained.length > 0
}

function checkReplay(
  replayed: ReadonlyMap<number, Uint8Array>,
  registers: ReadonlyMap<number, Uint8Array>,
  checks: Checks,
): boolean {
  let all = true
  for (const [index, value] of replayed) {
    const quoted = registers.get(index)
    const holds = quoted !== undefined && equalBytes(quoted, value)
    checks.require('event-log.replay-mismatch', holds, {
      expected: quoted === undefined ? 'not quoted' : toHex(quoted),
      received: toHex(value),
      where: `register ${index}`,
    })
    all &&= holds
  }
  return all
}

/** Registers 17 to 22 are all ones until a late launch. */
function checkUnexplained(
  replayed: ReadonlyMap<number, Uint8Array>,
  registers: ReadonlyMap<number, Uint8Array>,
  { requireExplained = [] }: EventLogPolicy,
  checks: Checks,
): void {
  for (const [index, value] of registers) {
    const unused = isZero(value) || value.every((byte) => byte === 0xff)
    if (replayed.has(index) || unused) continue
    const outcome = requireExplained.includes(index) ? 'fail' : 'warning'
    checks.add('event-log.unexplained', outcome, {
      received: toHex(value),
      where: `register ${index}`,
    })
  }
}

function checkEvents(
  events: readonly VerifiedEvent[],
  numbering: EventLogRequest['numbering'],
  checks: Checks,
): void {
  const lies = events.filter(isLie)
  checks.require('event-log.digest-mismatch', lies.length === 0, { where: placeOf(lies) })
  const separated = new Set<number>()
  const wrong: VerifiedEvent[] = []
  const unknown: VerifiedEvent[] = []
  const guarded = numbering === 'pcr' ? [0, 7] : [1]
  for (const event of events) {
    const { index, type, data } = event
    if (type === EVENT_TYPE.separator) {
      // A CCEL merges PCRs, and so their separators.
      const doubled = numbering === 'pcr' && separated.has(index)
      if (doubled || !isGoodSeparator(data)) wrong.push(event)
      separated.add(index)
    } else if (guarded.includes(index) && !separated.has(index) && !isKnownEventType(type))
      unknown.push(event)
  }
  checks.require('event-log.separator', wrong.length === 0, { where: placeOf(wrong) })
  checks.require('event-log.unknown-event', unknown.length === 0, { where: placeOf(unknown) })
}

/** Versions of shim differ in what they measure of an authority; those are told as not verified instead. */
function isLie({ type, verified }: VerifiedEvent): boolean {
  return isDigestOfData(type) && type !== EVENT_TYPE.variableAuthority && !verified
}

/** All zeros or all ones; 1 tells of an error. */
function isGoodSeparator(data: Uint8Array): boolean {
  return data.length === 4 && (isZero(data) || data.every((byte) => byte === 0xff))
}

function checkBootOrder(events: readonly VerifiedEvent[], map: RegisterMap, checks: Checks): void {
  const first = events.findIndex((event) => isApplication(event, map))
  const called = events.findIndex(
    ({ index, type, data, verified }) =>
      index === map.applications &&
      type === EVENT_TYPE.efiAction &&
      verified &&
      new TextDecoder().decode(data).startsWith('Calling EFI Application'),
  )
  const holds = first < 0 || (called >= 0 && called < first)
  checks.add('event-log.boot-order', holds ? 'pass' : 'warning')
}

function checkSecureBoot(
  events: readonly VerifiedEvent[],
  numbering: EventLogRequest['numbering'],
  policy: EventLogPolicy,
  checks: Checks,
): SecureBoot | undefined {
  const register = numbering === 'pcr' ? 7 : 1
  const required = policy.requireSecureBoot === true
  try {
    const state = readSecureBoot(events.filter(({ index }) => index === register))
    checks.add('event-log.secure-boot-malformed', 'pass')
    const off = required ? 'fail' : 'warning'
    checks.add('event-log.secure-boot-off', state.enabled ? 'pass' : off)
    return state
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    const lenient = policy.allowUninitialisedSecureBoot === true && !required
    checks.add('event-log.secure-boot-malformed', lenient ? 'warning' : 'fail', {
      received: error.message,
    })
    return undefined
  }
}

function placeOf(events: readonly VerifiedEvent[]): string | undefined {
  const [first] = events
  if (first === undefined) return undefined
  const offset = `0x${first.offset.toString(16)}`
  return `${eventTypeName(first.type)} of register ${first.index} at ${offset}`
}
