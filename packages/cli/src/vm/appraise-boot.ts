/** Judges one boot of a VM by its event log and the owner's baseline. Nothing here asks the host for an opinion. */
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
  learnBaseline,
  type IntegrityBaseline,
} from '@cloister/verifier/eventlog/integrity-baseline'
import type { IntegrityCheckCode } from '@cloister/verifier/eventlog/integrity-checks'
import { replayLog } from '@cloister/verifier/eventlog/replay'
import { parseTcgLog, type TcgLog } from '@cloister/verifier/eventlog/tcg-log'
import { CheckList, type Check } from '@cloister/verifier/result/check'

type Code = EventLogCheckCode | IntegrityCheckCode

export interface BootAppraisal {
  readonly early: PhaseStatus
  readonly late: PhaseStatus
  readonly registers: BootComparison['registers']
  readonly changes: BootComparison['changes']
  /** As the log has it; null where it does not say. */
  readonly secureBoot: boolean | null
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
 */
export async function appraiseBoot(
  bytes: Uint8Array | undefined,
  baseline: IntegrityBaseline | undefined,
  secureBoot: boolean,
): Promise<BootAppraisal> {
  const policy = secureBoot ? { requireSecureBoot: true } : { allowUninitialisedSecureBoot: true }
  const checks = new CheckList<Code>()
  // Nobody has signed the registers that this log adds up to: it is what was found in the machine's memory.
  checks.add('integrity.unquoted', 'not-checked')
  checks.add('integrity.baseline-missing', baseline === undefined ? 'undecided' : 'pass')
  if (bytes === undefined) {
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
    const registers = await replayLog(log, bank)
    const boot = await appraiseEventLog(
      { log: bytes, bank, registers, numbering: 'pcr', policy },
      withoutReplay(checks),
    )
    const wasOn = boot?.secureBoot?.enabled ?? null
    const learned = await learnBaseline(log, baselineBank(log) ?? bank)
    if (baseline === undefined) return { ...undecided(checks), secureBoot: wasOn, learned }
    return { ...(await compare(baseline, log, checks)), secureBoot: wasOn, learned }
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    checks.add('event-log.malformed', 'fail', { received: error.message })
    return undecided(checks)
  }
}

async function compare(
  baseline: IntegrityBaseline,
  log: TcgLog,
  checks: CheckList<Code>,
): Promise<Omit<BootAppraisal, 'secureBoot'>> {
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
  const nothing = { registers: [], changes: [], secureBoot: null }
  return { early: 'unknown', late: 'unknown', ...nothing, checks: checks.checks }
}

/** The registers are the log's own sums here, so that their comparison says nothing. */
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
