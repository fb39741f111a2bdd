import { equalBytes } from '../bytes/equal.ts'
import { hashDigest } from '../tpm/algorithms.ts'
import type { HashName } from '../tpm/algorithms.ts'
import { copyOfEvent, digestOf } from './tcg-log.ts'
import type { TcgEvent, TcgLog } from './tcg-log.ts'

export interface VerifiedEvent extends TcgEvent {
  /** The digest of the chosen bank; empty when there is none. */
  readonly digest: Uint8Array
  /** Whether that digest is of the whole data: only then does replay say anything about the data. */
  readonly verified: boolean
}

export async function verifyEvents(
  { events }: Pick<TcgLog, 'events'>,
  bank: HashName,
): Promise<VerifiedEvent[]> {
  const verified: VerifiedEvent[] = []
  for (const event of events) {
    const copy = copyOfEvent(event)
    const digest = digestOf(copy, bank) ?? new Uint8Array()
    const isVerified = equalBytes(digest, await hashDigest(bank, copy.data))
    verified.push({ ...copy, digest, verified: isVerified })
  }
  return verified
}
