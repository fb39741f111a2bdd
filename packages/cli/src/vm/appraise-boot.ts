/** Judges one boot of a VM by its event log, the TPM's quote over it where there is one, and the owner's baseline. Nothing here asks the host for an opinion. */
import { IntegrityBaselineSchema } from '@cloister/protocol/integrity-baseline'
import { CloisterError } from '@cloister/protocol/error'
import { FormatError } from '@cloister/verifier/bytes/format-error'
import { appraiseEventLog } from '@cloister/verifier/eventlog/appraise'
import { isBootComponent } from '@cloister/verifier/eventlog/boot-events'
import type { EventLogCheckCode } from '@cloister/verifier/eventlog/check-codes'
import { compareBoots } from '@cloister/verifier/eventlog/compare-boots'
import type { BootComparison, PhaseStatus } from '@cloister/verifier/eventlog/compare-boots'
import {
  baselineBank,
  EARLY_PCRS,
  LATE_PCRS,
  learnBaseline,
  type IntegrityBaseline,
} from '@cloister/verifier/eventlog/integrity-baseline'
import type { IntegrityCheckCode } from '@cloister/verifier/eventlog/integrity-checks'
import { replayLog } from '@cloister/verifier/eventlog/replay'
import { parseTcgLog, type TcgLog } from '@cloister/verifier/eventlog/tcg-log'
import { CheckList, type Check } from '@cloister/verifier/result/check'
import { equalBytes } from '@cloister/verifier/bytes/equal'
import { toHex } from '@cloister/verifier/bytes/hex'
import type { BootQuote } from './quoted-boot.ts'

type Code = EventLogCheckCode | IntegrityCheckCode

export interface BootAppraisal {
  readonly early: PhaseStatus
  readonly late: PhaseStatus
  readonly registers: BootComparison['registers']
  readonly changes: BootComparison['changes']
  /** As the log has it; null where it does not say. */
  readonly secureBoot: boolean | null
  /** Whether every register of a phase that the log names was quoted over a fresh nonce, by a key that the owner's broker has certified. */
  readonly quoted: { readonly early: boolean; readonly late: boolean }
  readonly checks: readonly Check<Code>[]
  /** The baseline that exactly this boot fits. Absent: the log cannot be read. */
  readonly learned?: IntegrityBaseline
}

/** @throws CloisterError `vm.baseline-invalid` */
export function readBaseline(json: unknown): IntegrityBaseline {
  const parsed = IntegrityBaselineSchema.safeParse(json)
  if (!parsed.success) throw new CloisterError('vm.baseline-invalid', { cause: parsed.error })
  const registers = parsed.data.registers.map((register) => ({
    ...register,
    // A component that a later version knows is compared, only not by its name.
    events: register.events.map((event) => ({
      ...event,
      component: isBootComponent(event.component) ? event.component : ('other' as const),
    })),
  }))
  return { ...parsed.data, registers }
}

/**
 * @param bytes - the log; absent: it could not be had
 * @param baseline - absent: there is none yet
 * @param secureBoot - whether the machine was made with it: then a boot without it is refused
 * @param quote - what the TPM says of the log's registers
 */
export async function appraiseBoot(
  bytes: Uint8Array | undefined,
  baseline: IntegrityBaseline | undefined,
  secureBoot: boolean,
  quote: BootQuote,
): Promise<BootAppraisal> {
  const policy = secureBoot ? { requireSecureBoot: true } : { allowUninitialisedSecureBoot: true }
  const checks = new CheckList<Code>()
  checks.add('integrity.baseline-missing', baseline === undefined ? 'undecided' : 'pass')
  if (bytes === undefined) {
    checks.add('integrity.unquoted', 'not-checked', { received: 'there is no event log' })
    checks.add('event-log.missing', 'undecided')
    return undecided(checks)
  }
  try {
    const log = parseTcgLog(bytes)
    const bank = baseline?.bank ?? baselineBank(log)
    if (bank === undefined) {
      checks.add('integrity.bank-missing', 'fail')
      return undecided(checks)
    }
    const quoted = await checkQuote(log, quote, checks)
    const boot = await appraiseEventLog(
      { log: bytes, bank, registers: await replayLog(log, bank), numbering: 'pcr', policy },
      withoutReplay(checks),
    )
    const wasOn = boot?.secureBoot?.enabled ?? null
    const learned = await learnBaseline(log, baselineBank(log) ?? bank)
    const known = { secureBoot: wasOn, quoted, learned }
    if (baseline === undefined) return { ...undecided(checks), ...known }
    return { ...(await compare(baseline, log, checks)), ...known }
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    checks.add('event-log.malformed', 'fail', { received: error.message })
    return undecided(checks)
  }
}

/**
 * Replays the log to its registers and holds these against the quoted ones.
 *
 * @returns for each phase, whether the quote stands behind all of it
 */
async function checkQuote(
  log: TcgLog,
  quote: BootQuote,
  checks: CheckList<Code>,
): Promise<BootAppraisal['quoted']> {
  switch (quote.status) {
    case 'none':
      checks.add('integrity.unquoted', 'not-checked', { received: quote.why })
      return UNQUOTED
    case 'refused': {
      const [first] = quote.checks
      checks.add('integrity.quote', 'fail', {
        ...(first !== undefined && { ...first, received: first.received ?? first.code }),
        where: [first?.code, first?.where].filter((part) => part !== undefined).join(', '),
      })
      return UNQUOTED
    }
    case 'quoted': {
      const replayed = await replayLog(log, quote.bank)
      // A register without an event must be as it was at the start: a log that leaves out all events of one proves nothing of it.
      const silent = [...EARLY_PCRS, ...LATE_PCRS].filter((pcr) => !replayed.has(pcr))
      const expected = [
        ...replayed,
        ...silent.flatMap((pcr): [number, Uint8Array][] => {
          const quoted = quote.registers.get(pcr)
          return quoted === undefined ? [] : [[pcr, new Uint8Array(quoted.length)]]
        }),
      ]
      const differs = expected.find(([pcr, value]) => !isSame(quote.registers.get(pcr), value))
      checks.require('integrity.quote', differs === undefined, {
        ...(differs !== undefined && {
          expected: hexOf(quote.registers.get(differs[0])),
          received: toHex(differs[1]),
          where: `PCR ${differs[0]}`,
        }),
      })
      checks.add('integrity.unquoted', 'pass')
      const isBacked = (pcrs: readonly number[]) =>
        differs === undefined && pcrs.every((pcr) => quote.registers.has(pcr))
      return { early: isBacked(EARLY_PCRS), late: isBacked(LATE_PCRS) }
    }
    default:
      return quote satisfies never
  }
}

function isSame(quoted: Uint8Array | undefined, value: Uint8Array): boolean {
  return quoted !== undefined && equalBytes(quoted, value)
}

function hexOf(value: Uint8Array | undefined): string {
  return value === undefined ? 'not quoted' : toHex(value)
}

const UNQUOTED = { early: false, late: false } as const

async function compare(
  baseline: IntegrityBaseline,
  log: TcgLog,
  checks: CheckList<Code>,
): Promise<Omit<BootAppraisal, 'secureBoot' | 'quoted'>> {
  const comparison = await compareBoots(baseline, log)
  for (const phase of ['early', 'late'] as const) {
    const first = comparison.changes.find((one) => one.phase === phase && !one.isExplained)
    checks.add(`integrity.${phase}-boot`, OUTCOMES[comparison[phase]], {
      ...(first !== undefined && {
        where: `PCR ${first.pcr}, ${first.component}`,
        expected: first.expected,
        received: first.received,
      }),
    })
  }
  return { ...comparison, checks: checks.checks }
}

const OUTCOMES = { match: 'pass', mismatch: 'fail', unknown: 'undecided' } as const

function undecided(checks: CheckList<Code>): BootAppraisal {
  const nothing = { registers: [], changes: [], secureBoot: null, quoted: UNQUOTED }
  return { early: 'unknown', late: 'unknown', ...nothing, checks: checks.checks }
}

/** The registers are the log's own sums here, so that their comparison says nothing: {@link checkQuote} makes the one that does. */
function withoutReplay(checks: CheckList<Code>): CheckList<Code> {
  const filtered = new CheckList<Code>()
  filtered.add = (code, outcome, details) => {
    if (code !== 'event-log.replay-mismatch') checks.add(code, outcome, details)
  }
  return filtered
}

/** 2: refused; 3: nobody can say yet. */
export function integrityExit({ early, late, checks }: BootAppraisal): 0 | 2 | 3 {
  if (checks.some(({ outcome }) => outcome === 'fail')) return 2
  return early === 'match' && late === 'match' ? 0 : 3
}
