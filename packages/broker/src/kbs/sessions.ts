/**
 * RCAR sessions, in memory and bounded. A nonce is good for one Attestation: whatever comes of it, the session is attested
 * or gone afterwards.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import type { BrokerLimits } from '../limits.ts'

const NONCE_BYTES = 32
/** Refusals that the guest of one session may tell its owner about. */
const REPORTS = 8

export interface Session {
  /** 32 hex digits, the value of the cookie. */
  readonly id: string
  /** Base64 text. */
  readonly nonce: string
  readonly tee: string
  readonly expiresAt: number
  /** Absent: nothing was attested yet. What it says is not kept here: thousands of sessions may live at once. */
  readonly token?: string
  /** Refusals of its own that the guest has told about. Absent: none. */
  readonly reports?: number
}

type SessionLimits = Pick<BrokerLimits, 'sessions' | 'sessionMs' | 'tokenBytes'>

export class Sessions {
  readonly #limits: SessionLimits
  /** In the order of their end, since all live equally long. */
  readonly #sessions = new Map<string, Session>()
  /** Of the tokens that sessions hold. */
  #tokenBytes = 0

  constructor(limits: SessionLimits) {
    this.#limits = limits
  }

  open(tee: string, now: number): Session {
    this.sweep(now)
    const session: Session = {
      id: randomUUID().replaceAll('-', ''),
      nonce: randomBytes(NONCE_BYTES).toString('base64'),
      tee,
      expiresAt: now + this.#limits.sessionMs,
    }
    this.#sessions.set(session.id, session)
    return session
  }

  find(id: string | undefined, now: number): Session | undefined {
    const session = id === undefined ? undefined : this.#sessions.get(id)
    if (session === undefined) return undefined
    if (now < session.expiresAt) return session
    this.#remove(session)
    return undefined
  }

  /**
   * Takes the session out while its evidence is appraised, so that its nonce cannot be used twice, not even at once.
   *
   * @returns undefined when there is none, or an Attestation is under way
   */
  claim(id: string, now: number): Session | undefined {
    const session = this.find(id, now)
    if (session !== undefined && session.token === undefined) this.#sessions.delete(id)
    return session
  }

  /** Puts a claimed session back with its token, whose size the guest's initdata chooses: the oldest sessions make room for it. */
  attest(session: Session, token: string): void {
    this.#tokenBytes += token.length
    for (const oldest of this.#sessions.values()) {
      if (this.#tokenBytes <= this.#limits.tokenBytes) break
      this.#remove(oldest)
    }
    this.#sessions.set(session.id, { ...session, token })
  }

  /** Takes one of the session's reports. @returns false when it has none left */
  takeReport(session: Session): boolean {
    const { reports = 0 } = session
    if (reports >= REPORTS) return false
    this.#sessions.set(session.id, { ...session, reports: reports + 1 })
    return true
  }

  get size(): number {
    return this.#sessions.size
  }

  /** Takes out what has ended, and makes room for one more. @returns how many went */
  sweep(now: number): number {
    const before = this.#sessions.size
    for (const session of this.#sessions.values()) {
      if (now < session.expiresAt && this.#sessions.size < this.#limits.sessions) break
      this.#remove(session)
    }
    return before - this.#sessions.size
  }

  #remove({ id, token = '' }: Session): void {
    if (this.#sessions.delete(id)) this.#tokenBytes -= token.length
  }
}
