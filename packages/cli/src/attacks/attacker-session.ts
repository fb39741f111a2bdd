/** The attacker's own guest-side client: each step of the KBS handshake, so that any of them can be done wrong. */
import { generateKeyPairSync } from 'node:crypto'
import {
  KBS_VERSION,
  readKbsError,
  TeePublicKeySchema,
  type TeePublicKey,
} from '@cloister/protocol/kbs'
import { primaryReportData } from '@cloister/protocol/report-data'
import { pinnedRequest, type PinnedResponse } from '../owner/pinned-connection.ts'
import type { Battlefield, Refusal } from './attack.ts'

/** Evidence over these 64 bytes of report data. */
export type MakeEvidence = (reportData: Uint8Array) => unknown

export class AttackerSession {
  readonly #field: Battlefield
  readonly #publicKey: TeePublicKey
  #cookie = ''

  constructor(field: Battlefield) {
    this.#field = field
    const jwk = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({
      format: 'jwk',
    })
    this.#publicKey = TeePublicKeySchema.parse({ ...jwk, alg: 'ECDH-ES+A256KW' })
  }

  /** Request, Challenge, Attestation. @returns the refusal, or undefined when a token came */
  async attest(makeEvidence: MakeEvidence, initdata: Uint8Array): Promise<Refusal | undefined> {
    const challenge = await this.#call('POST', '/auth', {
      version: KBS_VERSION,
      tee: 'snp',
      'extra-params': '',
    })
    this.#cookie = challenge.cookies.join('; ')
    const { nonce } = JSON.parse(challenge.body.toString('utf8')) as { nonce: string }
    const reportData = primaryReportData({ nonce, teePublicKey: this.#publicKey }, '')
    const answer = await this.#call('POST', '/attest', {
      'init-data': { format: 'toml', body: Buffer.from(initdata).toString('utf8') },
      'runtime-data': { nonce, 'tee-pubkey': this.#publicKey },
      'tee-evidence': { primary_evidence: makeEvidence(reportData), additional_evidence: '' },
    })
    return answer.status === 200 ? undefined : await this.#refusal(answer)
  }

  /** @returns the refusal; its code is undefined when the resource came */
  async take(resource: string): Promise<Refusal> {
    const answer = await this.#call('GET', `/resource/${resource}`)
    return answer.status === 200 ? { code: undefined, by: 'broker' } : await this.#refusal(answer)
  }

  async #call(method: string, path: string, body?: object): Promise<PinnedResponse> {
    const { pinned } = this.#field.broker
    return await pinnedRequest({
      url: new URL(`/kbs/v0${path}`, pinned.url),
      spki: pinned.spki,
      method,
      headers: {
        'content-type': 'application/json',
        ...(this.#cookie !== '' && { cookie: this.#cookie }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: this.#field.signal,
    })
  }

  /** The attacker is told a request id; what it stands for only the owner can read. */
  async #refusal(answer: PinnedResponse): Promise<Refusal> {
    const { code, requestId } = readKbsError(JSON.parse(answer.body.toString('utf8')))
    if (requestId === undefined) return { code, by: 'broker' }
    const [entry] = await this.#field.broker.audit({ requestId, limit: 1 })
    return { code: entry?.code ?? code, by: 'broker' }
  }
}
