/** Credential activations under way, in memory and bounded. Each is good for one answer. */
import { randomBytes, timingSafeEqual } from 'node:crypto'
import type { TpmPublicArea } from '@cloister/verifier/tpm/public-area'
import type { EndorsementKey } from './endorsement-key.ts'

/** The most that a credential holds with a Name by SHA-256. */
const SECRET_BYTES = 32
const ENROLMENT_MS = 60_000
const MAX_ENROLMENTS = 1024
/** Of one TPM. EK certificates are no secret, so anybody can begin in a machine's name: the oldest of the same address goes first. */
const PER_TPM = 16
const PER_TPM_AND_ADDRESS = 4

export interface Enrolment {
  /** 32 hex digits. */
  readonly id: string
  readonly secret: Buffer
  readonly endorsementKey: EndorsementKey
  readonly attestationKey: TpmPublicArea
  /** Who began it. */
  readonly address: string
  readonly expiresAt: number
}

export class Enrolments {
  /** In the order of their end. */
  readonly #waiting = new Map<string, Enrolment>()

  open(
    {
      endorsementKey,
      attestationKey,
      address,
    }: Pick<Enrolment, 'endorsementKey' | 'attestationKey' | 'address'>,
    now: number,
  ): Enrolment {
    this.#sweep(now)
    this.#makeRoom(endorsementKey.fingerprint, address)
    const enrolment: Enrolment = {
      id: randomBytes(16).toString('hex'),
      secret: randomBytes(SECRET_BYTES),
      endorsementKey,
      attestationKey,
      address,
      expiresAt: now + ENROLMENT_MS,
    }
    this.#waiting.set(enrolment.id, enrolment)
    return enrolment
  }

  /** Takes it out, so that nobody can guess twice. @returns undefined when there is none, or its time is over */
  claim(id: string, now: number): Enrolment | undefined {
    const enrolment = this.#waiting.get(id)
    this.#waiting.delete(id)
    return enrolment !== undefined && now < enrolment.expiresAt ? enrolment : undefined
  }

  #makeRoom(fingerprint: string, address: string): void {
    const ofTpm = [...this.#waiting.values()].filter(
      ({ endorsementKey }) => endorsementKey.fingerprint === fingerprint,
    )
    const ofBoth = ofTpm.filter((enrolment) => enrolment.address === address)
    const oldest =
      ofBoth.length >= PER_TPM_AND_ADDRESS
        ? ofBoth[0]
        : ofTpm.length >= PER_TPM
          ? ofTpm[0]
          : undefined
    if (oldest !== undefined) this.#waiting.delete(oldest.id)
  }

  #sweep(now: number): void {
    for (const [id, { expiresAt }] of this.#waiting) {
      if (now < expiresAt && this.#waiting.size < MAX_ENROLMENTS) return
      this.#waiting.delete(id)
    }
  }
}

export function isSecretOf({ secret }: Enrolment, answer: Uint8Array): boolean {
  return answer.length === secret.length && timingSafeEqual(answer, secret)
}
