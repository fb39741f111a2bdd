/**
 * Credential activations under way. EK certificates are no secret, so anybody can begin in a machine's name, from as many addresses as he has: what was begun is therefore kept by him
 * who began it, sealed into its id, and nobody's beginning takes another's place. Each is good for one answer.
 */
import { createCipheriv, createDecipheriv, randomBytes, timingSafeEqual } from 'node:crypto'
import type { EndorsementKey } from './endorsement-key.ts'

/** The most that a credential holds with a Name by SHA-256. */
const SECRET_BYTES = 32
const ENROLMENT_MS = 60_000
/** Answers that are remembered. The oldest beyond could be given again in its minute, for the same certificate. */
const MAX_SPENT = 4096

const CIPHER = { name: 'aes-256-gcm', keyBytes: 32, nonceBytes: 12, tagBytes: 16 } as const
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
  readonly #key = randomBytes(CIPHER.keyBytes)
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
    const nonce = randomBytes(CIPHER.nonceBytes)
    const cipher = createCipheriv(CIPHER.name, this.#key, nonce).setAAD(PURPOSE)
    const body = Buffer.concat([cipher.update(JSON.stringify(sealed)), cipher.final()])
    return Buffer.concat([nonce, body, cipher.getAuthTag()]).toString('base64url')
  }

  #open(id: string): Sealed | undefined {
    const { name, nonceBytes, tagBytes: authTagLength } = CIPHER
    const bytes = Buffer.from(id, 'base64url')
    // One id has one text, or the same enrolment would be good for more answers.
    if (bytes.length < nonceBytes + authTagLength || bytes.toString('base64url') !== id)
      return undefined
    const decipher = createDecipheriv(name, this.#key, bytes.subarray(0, nonceBytes), {
      authTagLength,
    })
    decipher.setAAD(PURPOSE).setAuthTag(bytes.subarray(-authTagLength))
    try {
      const body = bytes.subarray(nonceBytes, -authTagLength)
      const text = Buffer.concat([decipher.update(body), decipher.final()])
      return JSON.parse(text.toString()) as Sealed
    } catch {
      return undefined
    }
  }
}

export function isSecretOf({ secret }: Pick<Enrolment, 'secret'>, answer: Uint8Array): boolean {
  return answer.length === secret.length && timingSafeEqual(answer, secret)
}
