/**
 * Tells the owner's broker what this guest has refused, with expected and received: through the host go codes only. Bounded, since a host can ask for
 * something forbidden as often as it likes, and never more than a word to the owner: whatever becomes of it, the refusal stands.
 */
import { CloisterError } from '@cloister/protocol/error'
import { GUEST_REFUSAL_TEXT, type GuestRefusal } from '@cloister/protocol/guest-refusal'
import { orAborted } from '@cloister/protocol/or-aborted'
import type { KbsClient } from './kbs-client.ts'

/** What a guest tells in its life; the broker has a bound of its own. */
const REPORTS = 8
/** So long a refusal waits for its report, milliseconds: for the attestation that may still be under way, and for the broker. */
const PATIENCE_MS = 5_000

export class RefusalReports {
  readonly #client: Pick<KbsClient, 'tellRefusal'>
  readonly #patienceMs: number
  readonly #told = new Set<string>()
  readonly #attested = Promise.withResolvers<boolean>()

  constructor(client: Pick<KbsClient, 'tellRefusal'>, patienceMs = PATIENCE_MS) {
    this.#client = client
    this.#patienceMs = patienceMs
  }

  /** The guest's attestation is over. Nothing can be told without one. */
  attested(succeeded: boolean): void {
    this.#attested.resolve(succeeded)
  }

  /** Settles when the broker has it, or when there is no use in waiting any longer. Never rejects. */
  async tell(thrown: unknown, signal: AbortSignal): Promise<void> {
    const refusal = refusalOf(thrown)
    if (refusal === undefined) return
    const text = JSON.stringify(refusal)
    if (this.#told.has(text) || this.#told.size >= REPORTS) return
    this.#told.add(text)
    const limited = AbortSignal.any([signal, AbortSignal.timeout(this.#patienceMs)])
    try {
      await orAborted(this.#send(refusal, limited), limited)
    } catch {
      // The owner then knows no more than the host.
    }
  }

  async #send(refusal: GuestRefusal, signal: AbortSignal): Promise<void> {
    if ((await this.#attested.promise) && !signal.aborted)
      await this.#client.tellRefusal(refusal, signal)
  }
}

/** What the broker itself has refused or not answered, the owner finds there already. */
const KNOWN_TO_BROKER = /^agent\.(?:broker-|attestation-refused$|resource-refused$)/

function refusalOf(thrown: unknown): GuestRefusal | undefined {
  // Anything else is a defect, whose words nobody has weighed.
  if (!(thrown instanceof CloisterError) || KNOWN_TO_BROKER.test(thrown.code)) return undefined
  const { where, expected, why } = thrown.details
  // Where nothing was compared, the reason is what there is to tell.
  const received = thrown.details.received ?? (expected === undefined ? why : undefined)
  return {
    code: thrown.code,
    ...(where !== undefined && { where: cut(where) }),
    ...(expected !== undefined && { expected: cut(expected) }),
    ...(received !== undefined && { received: cut(received) }),
  }
}

function cut(text: string): string {
  return text.length > GUEST_REFUSAL_TEXT ? `${text.slice(0, GUEST_REFUSAL_TEXT - 1)}…` : text
}
