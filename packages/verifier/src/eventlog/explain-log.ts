/** An event log event by event: what each one is, and the register's value once it is extended. Nobody vouches for any of it. */
import { FormatError } from '../bytes/format-error.ts'
import { equalBytes } from '../bytes/equal.ts'
import { toHex } from '../bytes/hex.ts'
import { hashDigest, TPM_HASHES } from '../tpm/algorithms.ts'
import type { HashName } from '../tpm/algorithms.ts'
import { MAX_SUBJECT, bootDescriber } from './boot-events.ts'
import type { BootComponent, BootEvent, Numbering } from './boot-events.ts'
import { parseCel } from './cel.ts'
import type { CelRecord } from './cel.ts'
import { eventTypeName } from './event-types.ts'
import { eventWords, oneLine } from './event-words.ts'
import { recogniseLog } from './recognise.ts'
import { extend, replaySteps } from './replay.ts'
import { digestOf, parseTcgLog } from './tcg-log.ts'
import type { TcgEvent, TcgLog } from './tcg-log.ts'

export interface ExplainedEvent {
  /** Place in the log, from 0. */
  readonly number: number
  /** `PCR 4`, `MRTD`, `RTMR 1`. */
  readonly register: string
  readonly component: BootComponent
  /** The specification's name of the event's type. */
  readonly event: string
  readonly description: string
  /** Whether the digest is of the data that the description was read from. Otherwise it is a label that anybody may have written. */
  readonly isMeasured: boolean
  /** Hex; null for an event that extends nothing. */
  readonly digest: string | null
  /** Of the register after this event, hex; null where there is no digest. */
  readonly value: string | null
  /** A variable's or file's name, a command. Absent: there is none. */
  readonly subject?: string
  /** Hex of a partition table. */
  readonly data?: string
}

export interface ExplainedLog {
  readonly form: 'tcg' | 'cel'
  readonly bank: HashName
  /** Banks that the log has digests of, strongest first. */
  readonly banks: readonly HashName[]
  readonly events: readonly ExplainedEvent[]
  /** Final values by name, in order of their numbers. */
  readonly registers: ReadonlyMap<string, string>
}

const STRENGTH: readonly HashName[] = ['sha384', 'sha512', 'sha256', 'sm3', 'sha1']
/** Highest register of a CCEL: RTMR3. */
const LAST_CC_REGISTER = 4

/**
 * @param input - a TCG log, a CCEL or a canonical log, raw or base64
 * @param wanted - absent: SHA-256 for PCRs where there is one, as every TPM has it, else the strongest
 * @throws FormatError when it is none of them, or lacks digests of the bank
 */
export async function explainLog(input: Uint8Array, wanted?: HashName): Promise<ExplainedLog> {
  const bytes = recogniseLog(input)
  let log: TcgLog
  try {
    log = parseTcgLog(bytes)
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    const records = canonicalRecords(bytes)
    if (records === undefined) throw error
    return await explainRecords(records, wanted)
  }
  return await explainEvents(log, wanted)
}

/** {@link explainLog} of a log that was read already, or of some of its events. @throws FormatError when it lacks digests of the bank */
export async function explainEvents(log: TcgLog, wanted?: HashName): Promise<ExplainedLog> {
  const numbering = numberingOf(log)
  const banks = STRENGTH.filter((name) => log.hashes.some((hash) => hash.name === name))
  const bank = chooseBank(banks, wanted, numbering)
  const describe = bootDescriber(bank, numbering)
  const events: ExplainedEvent[] = []
  for await (const { event, value } of replaySteps(log, bank)) {
    const boot = await describe(event)
    events.push({
      number: events.length,
      register: registerName(event.index, numbering),
      component: boot?.component ?? 'other',
      event: eventTypeName(event.type),
      description: eventWords(event, boot),
      isMeasured: boot !== undefined && (await isMeasured(event, boot, bank)),
      digest: boot?.digest ?? null,
      value: value === undefined ? null : toHex(value),
      ...(boot?.subject !== undefined && { subject: boot.subject }),
      ...(boot?.data !== undefined && { data: boot.data }),
    })
  }
  return { form: 'tcg', bank, banks, events, registers: finalValues(events) }
}

/** GRUB digests the text behind its prefix, without the final NUL. */
async function isMeasured(event: TcgEvent, boot: BootEvent, bank: HashName): Promise<boolean> {
  const digest = digestOf(event, bank) ?? new Uint8Array()
  if (equalBytes(digest, await hashDigest(bank, event.data))) return true
  if (boot.component !== 'grub command' && boot.component !== 'kernel command line') return false
  const end = event.data.at(-1) === 0 ? event.data.length - 1 : event.data.length
  const start = event.data.indexOf(SPACE) + 1
  return start > 0 && equalBytes(digest, await hashDigest(bank, event.data.subarray(start, end)))
}

const SPACE = 0x20

/** A CCEL has one bank and no register above RTMR3; every TPM log has PCR 7, or more banks. */
function numberingOf({ hashes, events }: TcgLog): Numbering {
  const isCc = hashes.length === 1 && events.every(({ index }) => index <= LAST_CC_REGISTER)
  return isCc && hashes[0]?.name !== 'sha1' ? 'cc' : 'pcr'
}

function chooseBank(
  banks: readonly HashName[],
  wanted: HashName | undefined,
  numbering: Numbering,
): HashName {
  const usual = numbering === 'pcr' && banks.includes('sha256') ? 'sha256' : banks[0]
  const bank = wanted ?? usual
  if (bank === undefined || !banks.includes(bank))
    throw new FormatError('event log', 'banks', 0, `no ${bank ?? 'known'} digests`)
  return bank
}

function registerName(index: number, numbering: Numbering): string {
  if (numbering === 'pcr') return `PCR ${index}`
  return index === 0 ? 'MRTD' : `RTMR ${index - 1}`
}

function finalValues(events: readonly ExplainedEvent[]): ReadonlyMap<string, string> {
  const last = new Map<string, string>()
  for (const { register, value } of events) if (value !== null) last.set(register, value)
  return new Map([...last].toSorted(([one], [other]) => orderOf(one) - orderOf(other)))
}

/** MRTD first. */
function orderOf(register: string): number {
  return Number(register.split(' ')[1] ?? -1)
}

/** Undefined when it is no canonical log. */
function canonicalRecords(bytes: Uint8Array): CelRecord[] | undefined {
  try {
    return parseCel(bytes)
  } catch (error) {
    if (error instanceof FormatError) return undefined
    throw error
  }
}

async function explainRecords(
  records: readonly CelRecord[],
  wanted: HashName | undefined,
): Promise<ExplainedLog> {
  const banks = STRENGTH.filter((name) => records[0]?.digests.some(({ hash }) => hash === name))
  const bank = chooseBank(banks, wanted, records[0]?.kind === 'pcr' ? 'pcr' : 'cc')
  const values = new Map<string, Uint8Array>()
  const events: ExplainedEvent[] = []
  for (const { kind, index, digests, content, event, offset } of records) {
    const register = registerName(index, kind === 'pcr' ? 'pcr' : 'cc')
    const digest = digests.find(({ hash }) => hash === bank)?.digest
    if (digest === undefined)
      throw new FormatError('event log', 'digests', offset, `no ${bank} digest`)
    const before = values.get(register) ?? new Uint8Array(TPM_HASHES[bank].size)
    const value = await extend(bank, before, digest)
    values.set(register, value)
    const text = new TextDecoder().decode(event.value)
    events.push({
      number: events.length,
      register,
      component: 'runtime event',
      event: event.name,
      description: oneLine(`${event.name}: ${text}`),
      isMeasured: equalBytes(digest, await hashDigest(bank, content)),
      digest: toHex(digest),
      value: toHex(value),
      subject: text.slice(0, MAX_SUBJECT),
    })
  }
  return { form: 'cel', bank, banks, events, registers: finalValues(events) }
}
