/** Tests only: a KBS client that does each step of RCAR on its own, so that a test can do any of them wrong. */
import type { Agent } from 'node:https'
import { decryptJwe } from '@cloister/protocol/jwe'
import { KBS_VERSION, KbsErrorSchema, readKbsError } from '@cloister/protocol/kbs'
import { primaryReportData } from '@cloister/protocol/report-data'
import { exchange, type Answer } from './https-exchange.ts'
import type { FakeGuest } from './fake-guest.ts'

/** What a guest needs to go the whole way. */
export type RcarGuest = Pick<
  FakeGuest,
  'tee' | 'initdata' | 'publicKey' | 'privateKey' | 'evidence'
>

export interface Challenge {
  readonly nonce: string
  readonly cookie: string
}

export interface Refusal {
  readonly status: number
  readonly variant: string
  readonly code: string | undefined
  readonly requestId: string | undefined
}

export class RcarClient {
  readonly #url: string
  readonly #agent: Agent

  constructor(url: string, agent: Agent) {
    this.#url = url
    this.#agent = agent
  }

  call(
    method: string,
    path: string,
    headers: Readonly<Record<string, string>> = {},
    body?: unknown,
  ): Promise<Answer> {
    return exchange(`${this.#url}/kbs/v0${path}`, this.#agent, {
      method,
      headers: { 'content-type': 'application/json', ...headers },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
  }

  async auth(tee = 'snp'): Promise<Challenge> {
    const request = { version: KBS_VERSION, tee, 'extra-params': '' }
    const answer = await this.call('POST', '/auth', {}, request)
    if (answer.status !== 200) throw new Error(`auth: ${answer.status} ${answer.text}`)
    const { nonce } = JSON.parse(answer.text) as { nonce: string }
    return { nonce, cookie: (answer.headers['set-cookie'] as string[])[0]?.split(';')[0] ?? '' }
  }

  /** The message of a guest that does everything right. */
  attestation({ nonce }: Challenge, guest: RcarGuest): Record<string, unknown> {
    const reportData = primaryReportData({ nonce, teePublicKey: guest.publicKey }, '')
    return {
      'init-data': { format: 'toml', body: guest.initdata },
      'runtime-data': { nonce, 'tee-pubkey': guest.publicKey },
      'tee-evidence': { primary_evidence: guest.evidence(reportData), additional_evidence: '' },
    }
  }

  async send({ cookie }: Challenge, attestation: unknown): Promise<Answer> {
    return this.call('POST', '/attest', { cookie }, attestation)
  }

  /** Request to Attestation. */
  async attest(guest: RcarGuest): Promise<Answer & { readonly challenge: Challenge }> {
    const challenge = await this.auth(guest.tee)
    const answer = await this.send(challenge, this.attestation(challenge, guest))
    return { ...answer, challenge }
  }

  /** The whole way. @returns the value, or the refusal of whichever step refused */
  async resource(guest: RcarGuest, path: string): Promise<Buffer | Refusal> {
    const attested = await this.attest(guest)
    if (attested.status !== 200) return refusal(attested)
    const answer = await this.call('GET', `/resource/${path}`, {
      cookie: attested.challenge.cookie,
    })
    if (answer.status !== 200) return refusal(answer)
    return decryptJwe(JSON.parse(answer.text), guest.privateKey)
  }
}

export function refusal({ status, text }: Answer): Refusal {
  if (status < 400) throw new Error(`nothing was refused: ${status}`)
  const { variant, code, requestId } = readKbsError(KbsErrorSchema.parse(JSON.parse(text)))
  return { status, variant, code, requestId }
}
