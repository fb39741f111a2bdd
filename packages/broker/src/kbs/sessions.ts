/**
 * RCAR sessions. Until it is attested, a session is kept by the guest alone, sealed into its cookie: anybody can ask for a challenge, from as many addresses as he has, and
 * takes nobody's place by it. Attested ones are here, with a bound, where an address makes room for its own. A nonce is good for one Attestation, whatever comes of it.
 */
import { createSecretKey, randomBytes } from 'node:crypto'
import type { BrokerLimits } from '../limits.ts'
import { takeRandom } from '../randomness.ts'
import { Shares } from '../shares.ts'
import { open, seal } from '../storage/seal.ts'
import { SpentNumbers } from './spent-numbers.ts'

const NONCE_BYTES = 32
/** Refusals that the guest of one session may tell its owner about. */
const REPORTS = 8

const PURPOSE = Buffer.from('cloister/kbs-session/1')
/** What a cookie holds: number and end of the session (milliseconds since 1970), nonce, and the name of the TEE. */
const SEALED = {
  numberBytes: 6,
  endOffset: 6,
  endBytes: 6,
  nonceOffset: 12,
  teeOffset: 44,
} as const
/** Above any cookie of ours, characters. */
const MAX_ID = 256

interface AnySession {
  /** The value of the cookie, base64url. */
  readonly id: string
  readonly expiresAt: number
}

/** Challenged, and nothing attested yet. */
export interface OpenSession extends AnySession {
  /** Base64 text. */
  readonly nonce: string
  readonly tee: string
}

export interface AttestedSession extends AnySession {
  /** What it says is not kept here: thousands of sessions may live at once. */
  readonly token: string
  /** Refusals of its own that the guest has told about. */
  readonly reports: number
}

export type Session = OpenSession | AttestedSession

type SessionLimits = Pick<BrokerLimits, 'nonces' | 'sessionMs' | 'tokenBytes'>

export class Sessions {
  readonly #limits: SessionLimits
  /** Ends with the process, and every session with it. */
  readonly #key = createSecretKey(randomBytes(32))
  readonly #spent: SpentNumbers
  /** Attested, oldest first. */
  readonly #sessions = new Map<string, AttestedSession>()
  /** Of the tokens that sessions hold, bytes by address. */
  readonly #tokens: Shares<string>

  constructor(limits: SessionLimits) {
    this.#limits = limits
    this.#spent = new SpentNumbers(limits.nonces)
    this.#tokens = new Shares(limits.tokenBytes)
  }

  open(tee: string, now: number): OpenSession {
    const expiresAt = now + this.#limits.sessionMs
    const nonce = takeRandom(NONCE_BYTES)
    const sealed = Buffer.alloc(SEALED.teeOffset + tee.length)
    sealed.writeUIntBE(this.#spent.give(), 0, SEALED.numberBytes)
    sealed.writeUIntBE(expiresAt, SEALED.endOffset, SEALED.endBytes)
    nonce.copy(sealed, SEALED.nonceOffset)
    sealed.write(tee, SEALED.teeOffset, 'latin1')
    const id = seal(this.#key, PURPOSE, sealed).toString('base64url')
    return { id, nonce: nonce.toString('base64'), tee, expiresAt }
  }

  /** The attested session of that cookie. */
  find(id: string | undefined, now: number): AttestedSession | undefined {
    const session = id === undefined ? undefined : this.#sessions.get(id)
    if (session === undefined || now < session.expiresAt) return session
    this.#remove(session)
    return undefined
  }

  /**
   * Spends the nonce of a session that is not attested yet, so that it cannot be used twice, not even at once.
   *
   * @param id - attacker-controlled
   * @returns undefined when this broker gave no such session, its time is over, or its nonce is spent
   */
  claim(id: string, now: number): Session | undefined {
    const attested = this.find(id, now)
    if (attested !== undefined) return attested
    const sealed = this.#open(id)
    if (sealed === undefined) return undefined
    const expiresAt = sealed.readUIntBE(SEALED.endOffset, SEALED.endBytes)
    if (now >= expiresAt || !this.#spent.spend(sealed.readUIntBE(0, SEALED.numberBytes)))
      return undefined
    return {
      id,
      nonce: sealed.toString('base64', SEALED.nonceOffset, SEALED.teeOffset),
      tee: sealed.toString('latin1', SEALED.teeOffset),
      expiresAt,
    }
  }

  #open(id: string): Buffer | undefined {
    if (id.length > MAX_ID) return undefined
    try {
      return open(this.#key, PURPOSE, Buffer.from(id, 'base64url'))
    } catch {
      return undefined
    }
  }

  /**
   * Keeps a claimed session with its token, whose size the guest's initdata chooses. Where that is too much, the oldest go of the address that holds most.
   */
  attest({ id, expiresAt }: OpenSession, token: string, address: string): void {
    this.#sessions.set(id, { id, expiresAt, token, reports: 0 })
    for (const gone of this.#tokens.add(id, address, token.length)) this.#sessions.delete(gone)
  }

  /** Takes one of the session's reports. @returns false when it has none left */
  takeReport(session: AttestedSession): boolean {
    const { id, reports } = session
    if (reports >= REPORTS) return false
    this.#sessions.set(id, { ...session, reports: reports + 1 })
    return true
  }

  /** Attested ones. */
  get size(): number {
    return this.#sessions.size
  }

  /** Takes out what has ended. @returns how many went */
  sweep(now: number): number {
    const ended = [...this.#sessions.values()].filter(({ expiresAt }) => now >= expiresAt)
    for (const session of ended) this.#remove(session)
    return ended.length
  }

  #remove({ id }: AttestedSession): void {
    this.#sessions.delete(id)
    this.#tokens.remove(id)
  }
}
