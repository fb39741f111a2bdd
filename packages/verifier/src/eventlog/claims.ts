/** Claims of event logs: CoCo's `uefi_event_logs`, and what replay gives. */
import { toBase64 } from '../bytes/base64.ts'
import { equalBytes } from '../bytes/equal.ts'
import { toHex } from '../bytes/hex.ts'
import { hashDigest } from '../tpm/algorithms.ts'
import type { HashName } from '../tpm/algorithms.ts'
import { eventDetails } from './event-details.ts'
import type { EventDetails } from './event-details.ts'
import { eventTypeName } from './event-types.ts'
import { replayLog } from './replay.ts'
import { parseTcgLog } from './tcg-log.ts'
import type { TcgEvent, TcgLog } from './tcg-log.ts'

export interface EventClaim {
  readonly details: EventDetails
  /** Whether the first digest is of the data: of many types it is of something that the log does not hold. */
  readonly digest_matches_event: boolean
  readonly digests: readonly { readonly alg: string; readonly digest: string }[]
  /** Base64. */
  readonly event: string
  readonly index: number
  readonly type_name: string
}

const NAMES: Readonly<Record<HashName, string>> = {
  sha1: 'SHA-1',
  sha256: 'SHA-256',
  sha384: 'SHA-384',
  sha512: 'SHA-512',
  sm3: 'SM3',
}

/** Registers (hex) by bank and index, and the events. @throws FormatError */
export async function eventLogClaims(bytes: Uint8Array): Promise<object> {
  const log = parseTcgLog(bytes)
  const registers: Record<string, Record<string, string>> = {}
  for (const { name } of log.hashes) registers[name] = await registersOf(log, name)
  return { registers, uefi_event_logs: await eventClaims(log) }
}

export async function eventClaims({ events }: TcgLog): Promise<EventClaim[]> {
  const claims: EventClaim[] = []
  for (const event of events) claims.push(await eventClaim(event))
  return claims
}

async function eventClaim({ index, type, digests, data }: TcgEvent): Promise<EventClaim> {
  const [first] = digests
  const matches =
    first !== undefined && equalBytes(first.digest, await hashDigest(first.hash, data))
  return {
    details: eventDetails(type, data),
    digest_matches_event: matches,
    digests: digests.map(({ hash, digest }) => ({ alg: NAMES[hash], digest: toHex(digest) })),
    event: toBase64(data),
    index,
    type_name: eventTypeName(type),
  }
}

async function registersOf(log: TcgLog, bank: HashName): Promise<Record<string, string>> {
  const values = await replayLog(log, bank)
  return Object.fromEntries([...values].map(([index, value]) => [`${index}`, toHex(value)]))
}
