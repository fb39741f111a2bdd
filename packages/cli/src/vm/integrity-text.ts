/** What `vm integrity` tells people. Names of files and commands come from the guest. */
import type {
  BootChange,
  PhaseStatus,
  RegisterComparison,
} from '@cloister/verifier/eventlog/compare-boots'
import { checkLines } from '../check-lines.ts'
import { escapeText } from '../escape-text.ts'
import type { TrustCheck } from '../owner/trust-check.ts'
import type { Painter } from '../paint.ts'

export interface ShownIntegrity {
  readonly name: string
  readonly early: PhaseStatus
  readonly late: PhaseStatus
  readonly quoted: { readonly early: boolean; readonly late: boolean }
  readonly baseline: {
    readonly origin: string
    readonly bank: string
    readonly isNew: boolean
  } | null
  readonly changes: readonly BootChange[]
  readonly registers: readonly RegisterComparison[]
  readonly secureBoot: boolean | null
  readonly source: 'agent' | 'memory' | null
  readonly checks: readonly TrustCheck[]
}

const SUBJECT_CHARACTERS = 160

export interface IntegrityTelling {
  /** Each difference with its digests, and those that are explained. */
  readonly isFull: boolean
  /** Whether the VM runs: a log that is not there may come. */
  readonly isRunning: boolean
}

export function integrityText(
  shown: ShownIntegrity,
  { isFull, isRunning }: IntegrityTelling,
  painter: Painter,
): string {
  const { name, early, late, quoted, baseline, changes, registers, secureBoot, source, checks } =
    shown
  const mismatches = changes.filter(({ isExplained }) => !isExplained)
  const told = tellingFirst(isFull ? changes : mismatches)
  const steps = isFull ? 0 : told.filter(isStep).length
  const isFolded = steps > MAX_STEPS
  const explained = changes.length - mismatches.length
  return [
    `${name}  ${baseline?.isNew === true ? 'this boot is the baseline from now on; against the one before: ' : ''}early boot ${paintStatus(early, painter)}, late boot ${paintStatus(late, painter)}`,
    `  baseline     ${baseline === null ? 'none' : `${baseline.origin}${baseline.isNew ? ' just now' : ''}, ${baseline.bank}`}`,
    `  Secure Boot  ${secureBoot === null ? 'not known' : secureBoot ? 'on' : 'off'}`,
    `  event log    ${LOG_WORDS[source ?? (isRunning ? 'not yet' : 'none')]}`,
    `  quote        ${quoteWords(quoted, checks)}`,
    ...registers
      .filter(({ status }) => status === 'unknown')
      .map(({ pcr, why }) =>
        painter.dim(
          `  ${baseline?.isNew === true ? 'was unknown' : 'not known  '}  PCR ${pcr}${why === undefined ? '' : `: ${why}`}`,
        ),
      ),
    ...told
      .filter((change) => !isFolded || !isStep(change))
      .flatMap((change) => changeLines(change, isFull, painter)),
    ...(isFolded
      ? [
          `  ${painter.red('differs  ')} ${steps} commands of GRUB (PCR 8): cloister vm integrity ${name} --diff`,
        ]
      : []),
    ...(explained > 0 && !isFull
      ? [painter.dim(`  ${explained} explained: cloister vm integrity ${name} --diff`)]
      : []),
    ...checkLines(checks, painter),
    ...next(shown, isRunning).map((line) => `next: ${line}`),
  ].join('\n')
}

/** GRUB measures each command of a configuration: dozens differ where one line of it was written anew. */
const MAX_STEPS = 3

function isStep({ component }: BootChange): boolean {
  return component === 'grub command'
}

/** What was started, and with what, before the steps that led there. */
function tellingFirst(changes: readonly BootChange[]): BootChange[] {
  return [...changes.filter((change) => !isStep(change)), ...changes.filter(isStep)]
}

const LOG_WORDS = {
  agent: 'given by the agent in the guest',
  memory: 'found in the memory of the machine',
  'not yet':
    'none found in the memory of the machine: it may still be in its firmware, or has overwritten it',
  none: 'none: the VM does not run',
} as const

function quoteWords(
  { early, late }: ShownIntegrity['quoted'],
  checks: readonly TrustCheck[],
): string {
  if (early && late) return 'fresh, by the certified key of its TPM, over all of these PCRs'
  const found = checks.find(
    ({ code, outcome }) => code === 'integrity.unquoted' && outcome === 'not-checked',
  )
  if (found !== undefined) return `none: ${escapeText(found.received ?? 'nobody vouches for one')}`
  return early || late
    ? `only over the ${early ? 'early' : 'late'} boot`
    : 'REFUSED: see integrity.quote'
}

function changeLines(change: BootChange, isFull: boolean, painter: Painter): string[] {
  const { component, pcr, kind, event, subject, expectedSubject, expected, received } = change
  const head = `  ${change.isExplained ? painter.dim('explained') : painter.red('differs  ')} ${component} ${kind} (PCR ${pcr})`
  const named = subject === undefined ? '' : `: ${quoted(subject)}`
  if (!isFull) return [`${head}${named}`]
  const detail = (label: string, value: string | undefined) =>
    value === undefined ? [] : [`            ${label.padEnd(9)} ${value}`]
  return [
    `${head}${named}`,
    ...detail('cause', change.cause),
    ...detail('event', event),
    ...detail('was', expectedSubject === undefined ? undefined : quoted(expectedSubject)),
    ...detail('expected', expected),
    ...detail('received', received),
  ]
}

function quoted(text: string): string {
  return escapeText(text.slice(0, SUBJECT_CHARACTERS)).replaceAll('\n', ' ')
}

function paintStatus(status: PhaseStatus, painter: Painter): string {
  return status === 'mismatch'
    ? painter.red(status)
    : status === 'unknown'
      ? painter.yellow(status)
      : status
}

function next(
  { name, early, late, baseline, source }: ShownIntegrity,
  isRunning: boolean,
): string[] {
  if (source === null)
    return isRunning
      ? [`cloister vm ssh ${name} -- true, which waits for the boot, then this again`]
      : [`cloister vm start ${name}`]
  if (baseline?.isNew === true) return []
  if (early === 'mismatch' || late === 'mismatch')
    return [`cloister vm integrity ${name} --diff, and --learn where you made the change yourself`]
  return early === 'unknown' || late === 'unknown' ? [`cloister vm integrity ${name} --learn`] : []
}
