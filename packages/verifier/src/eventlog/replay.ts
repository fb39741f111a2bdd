/** What the registers hold after the events of a log: `register = H(register ‖ digest)`, from zero. */
import { concatBytes } from '../bytes/concat.ts'
import { equalBytes } from '../bytes/equal.ts'
import { FormatError } from '../bytes/format-error.ts'
import { toUtf8 } from '../bytes/text.ts'
import { TPM_HASHES, hashDigest } from '../tpm/algorithms.ts'
import type { HashName } from '../tpm/algorithms.ts'
import { EVENT_TYPE } from './event-types.ts'
import { digestOf } from './tcg-log.ts'
import type { TcgEvent, TcgLog } from './tcg-log.ts'

const STARTUP_LOCALITY = toUtf8('StartupLocality\0')
/** Localities that start a TPM: 0, 3, and 4 with a hardware root of trust. */
const LOCALITIES: ReadonlySet<number> = new Set([0, 3, 4])

/** One event, and the register's value once it is extended; undefined for an event that extends nothing. */
export interface ReplayStep {
  readonly event: TcgEvent
  readonly value: Uint8Array | undefined
}

/**
 * Values of the registers that the log extends, by index.
 *
 * @throws FormatError when an event has no digest of that bank, or the startup locality is malformed
 */
export async function replayLog(
  log: Pick<TcgLog, 'events'>,
  bank: HashName,
): Promise<ReadonlyMap<number, Uint8Array>> {
  const registers = new Map<number, Uint8Array>()
  for await (const { event, value } of replaySteps(log, bank))
    if (value !== undefined) registers.set(event.index, value)
  return registers
}

/** The same event by event. @throws FormatError as {@link replayLog} */
export async function* replaySteps(
  { events }: Pick<TcgLog, 'events'>,
  bank: HashName,
): AsyncGenerator<ReplayStep> {
  const { size } = TPM_HASHES[bank]
  const registers = new Map<number, Uint8Array>()
  let locality = 0
  for (const event of events) {
    if (event.type === EVENT_TYPE.noAction) {
      locality = startupLocality(event, registers.has(0)) ?? locality
      yield { event, value: undefined }
      continue
    }
    const digest = digestOf(event, bank)
    if (digest === undefined)
      throw new FormatError('event log', 'event.digests', event.offset, `no ${bank} digest`)
    const before = registers.get(event.index) ?? initial(size, event.index, locality)
    const value = await extend(bank, before, digest)
    registers.set(event.index, value)
    yield { event, value }
  }
}

export async function extend(
  bank: HashName,
  register: Uint8Array,
  digest: Uint8Array,
): Promise<Uint8Array> {
  return hashDigest(bank, concatBytes(register, digest))
}

function initial(size: number, index: number, locality: number): Uint8Array {
  const value = new Uint8Array(size)
  if (index === 0) value[size - 1] = locality
  return value
}

function startupLocality({ index, data, offset }: TcgEvent, late: boolean): number | undefined {
  if (!equalBytes(data.subarray(0, STARTUP_LOCALITY.length), STARTUP_LOCALITY)) return undefined
  const [locality, ...more] = data.subarray(STARTUP_LOCALITY.length)
  if (index !== 0 || late || locality === undefined || more.length > 0)
    throw new FormatError('event log', 'startup locality', offset, 'is out of place')
  if (!LOCALITIES.has(locality))
    throw new FormatError('event log', 'startup locality', offset, `${locality}`)
  return locality
}
