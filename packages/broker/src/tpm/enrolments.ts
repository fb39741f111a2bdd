/**
 * Credential activations under way. EK certificates are no secret, so anybody can begin in a machine's name, from as many addresses as he has: what was begun is therefore kept by him
 * who began it, sealed into its id, and nobody's beginning takes another's place. Each is good for one answer.
 */
import { createSecretKey, randomBytes, timingSafeEqual } from 'node:crypto'
import { open, seal } from '../storage/seal.ts'
import type { EndorsementKey } from './endorsement-key.ts'

/** The most that a credential holds with a Name by SHA-256. */
const SECRET_BYTES = 32
const ENROLMENT_MS = 60_000
/** Answers that are remembered. The oldest beyond could be given again in its minute, for the same certificate. */
const MAX_SPENT = 4096

const PURPOSE = Buffer.from('cloister/tpm-enrolment/1')

export interface Enrolment {
  /** Base64url. */
  readonly id: string
  readonly secret: Buffer
  readonly endorsementKey: Pick<EndorsementKey, 'fingerprint' | 'anchor'>
  /** Of the attestation key: SubjectPublicKeyInfo, DER. */
  readonly attestationKey: Uint8Array
  readonly expiresAt: number
}

interface Sealed {
  readonly secret: string
  readonly fingerprint: string
  readonly anchor: string
  readonly attestationKey: string
  readonly expiresAt: number
}

export class Enrolments {
  /** Ends with the process, and every enrolment under way with it. */
  readonly #key = createSecretKey(randomBytes(32))
  /** End by id, in the order of the answers. */
  readonly #spent = new Map<string, number>()

  open(
    { endorsementKey, attestationKey }: Pick<Enrolment, 'endorsementKey' | 'attestationKey'>,
    now: number,
  ): Enrolment {
    const { fingerprint, anchor } = endorsementKey
    const secret = randomBytes(SECRET_BYTES)
    const expiresAt = now + ENROLMENT_MS
    const id = this.#seal({
      secret: secret.toString('base64'),
      fingerprint,
      anchor,
      attestationKey: Buffer.from(attestationKey).toString('base64'),
      expiresAt,
    })
    return { id, secret, endorsementKey: { fingerprint, anchor }, attestationKey, expiresAt }
  }

  /**
   * Spends it, so that nobody can guess twice.
   *
   * @param id - attacker-controlled
   * @returns undefined when this broker gave no such id, its time is over, or an answer was given
   */
  claim(id: string, now: number): Enrolment | undefined {
    const sealed = this.#open(id)
    if (sealed === undefined || now >= sealed.expiresAt || this.#spent.has(id)) return undefined
    this.#spend(id, sealed.expiresAt, now)
    const { secret, fingerprint, anchor, attestationKey, expiresAt } = sealed
    return {
      id,
      secret: Buffer.from(secret, 'base64'),
      endorsementKey: { fingerprint, anchor },
      attestationKey: Buffer.from(attestationKey, 'base64'),
      expiresAt,
    }
  }

  #spend(id: string, expiresAt: number, now: number): void {
    for (const [spent, end] of this.#spent) {
      if (now < end && this.#spent.size < MAX_SPENT) break
      this.#spent.delete(spent)
    }
    this.#spent.set(id, expiresAt)
  }

  #seal(sealed: Sealed): string {
    return seal(this.#key, PURPOSE, Buffer.from(JSON.stringify(sealed))).toString('base64url')
  }

  #open(id: string): Sealed | undefined {
    const bytes = Buffer.from(id, 'base64url')
    // One id has one text, or the same enrolment would be good for more answers.
    if (bytes.toString('base64url') !== id) return undefined
    try {
      return JSON.parse(open(this.#key, PURPOSE, bytes).toString()) as Sealed
    } catch {
      return undefined
    }
  }
}

export function isSecretOf({ secret }: Pick<Enrolment, 'secret'>, answer: Uint8Array): boolean {
  return answer.length === secret.length && timingSafeEqual(answer, secret)
}
