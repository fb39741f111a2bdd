/** The initdata that an Attester sends: what the hardware must hold of it, and what a token says of it. Fleets send the same few documents, so those that Evidence was bound to are remembered. */
import { hash } from 'node:crypto'
import { CloisterError } from '@cloister/protocol/error'
import { initdataDigest, initdataField, parseInitdata } from '@cloister/protocol/initdata'
import type { KbsAttestation } from '@cloister/protocol/kbs'
import { initdataClaims } from './initdata-claims.ts'
import { Recent } from './recent.ts'

/** HOST_DATA of SNP. */
export const HOST_DATA_BYTES = 32
/** Of documents, characters all together. */
const REMEMBERED_LENGTH = 1 << 20

/** Read, and bound to nothing yet. */
export interface SentInitdata {
  /** Names exactly these bytes: their SHA-256, hex. */
  readonly name: string
  readonly length: number
  /** The digest by the document's own algorithm as HOST_DATA has it, 32 bytes. */
  readonly hostData: Uint8Array
  readonly claims: () => Record<string, unknown>
}

export class SentInitdataReader {
  readonly #known = new Recent<SentInitdata>(REMEMBERED_LENGTH)

  /** @param initdata - attacker-controlled. @throws CloisterError `initdata.malformed`, `initdata.too-large` */
  read({ format, body }: NonNullable<KbsAttestation['init-data']>): SentInitdata {
    if (format !== 'toml')
      throw new CloisterError('initdata.malformed', { where: 'init-data.format' })
    const document = Buffer.from(body)
    const name = hash('sha256', document, 'hex')
    return this.#known.get(name) ?? parse(name, document)
  }

  /** To be told when Evidence turned out to be bound to it: only who has a TEE can make the broker remember something. */
  remember(initdata: SentInitdata): void {
    const { name, length, hostData } = initdata
    if (this.#known.get(name) !== undefined) return
    const claims = initdata.claims()
    this.#known.put(name, { name, length, hostData, claims: () => claims }, length)
  }
}

function parse(name: string, document: Uint8Array): SentInitdata {
  const content = parseInitdata(document)
  const digest = initdataDigest(document, content.algorithm)
  const hostData = initdataField(digest, HOST_DATA_BYTES)
  return { name, length: document.length, hostData, claims: () => initdataClaims(content) }
}
