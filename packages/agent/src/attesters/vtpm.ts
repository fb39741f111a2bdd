/**
 * Evidence of a TPM: a quote over the PCRs, signed by a restricted key of this TPM, the log that explains the PCRs, and what vouches for
 * the key. In a VM without a TEE the TPM is the host's software: it shows what booted to everybody but the host (docs/concepts/what-each-tee-protects.md).
 */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { CloisterError } from '@cloister/protocol/error'
import { FormatError } from '@cloister/verifier/bytes/format-error'
import { concatBytes } from '@cloister/verifier/bytes/concat'
import { DerReader, TAG } from '@cloister/verifier/formats/der-reader'
import { parseTpmAttest } from '@cloister/verifier/tpm/attest'
import { encodeTpmEvidenceJson, type TpmQuoteJson } from '@cloister/verifier/tpm/evidence-json'
import { parseTpmPublicArea } from '@cloister/verifier/tpm/public-area'
import type { TpmDevice } from '../tpm/device.ts'
import {
  TPM_KEY_KINDS,
  attestationKeyTemplate,
  endorsementKeyTemplate,
  type TpmKeyKind,
} from '../tpm/templates.ts'
import { Tpm, type PrimaryKey } from '../tpm/tpm.ts'
import type { Attester, Evidence } from './attester.ts'

export const EVENT_LOG_FILE = '/sys/kernel/security/tpm0/binary_bios_measurements'

/** NV indices of EK certificates (TCG EK Credential Profile 2.5, 2.2.1.4). */
const EK_CERTIFICATE_INDEX: Readonly<Record<TpmKeyKind, number>> = {
  rsa: 0x01c0_0002,
  ecc: 0x01c0_000a,
}
/** KBS takes so much of REPORT_DATA as the quote's nonce. */
const NONCE_BYTES = 32
/** The first must be there, and is what other Verifiers know; the second is quoted where the TPM keeps it. */
const BANKS = ['sha256', 'sha384'] as const
const MAX_LOG_BYTES = 1 << 20
/** PCRs may be extended between reading and quoting. */
const QUOTE_TRIES = 4

export interface VtpmOptions {
  readonly device: TpmDevice
  /** Absent: {@link EVENT_LOG_FILE}. A kernel without that file gives Evidence without a log. */
  readonly eventLogFile?: string
}

/** What a broker needs to see that the attestation key lives in a genuine TPM. */
export interface TpmIdentity {
  /** DER; absent where the TPM's maker put none in. */
  readonly endorsementCertificate: Uint8Array | undefined
  /** TPMT_PUBLIC. */
  readonly attestationKey: Uint8Array
}

/** What a broker encrypted to the endorsement key; both without their size. */
export interface TpmCredential {
  readonly credential: Uint8Array
  readonly secret: Uint8Array
}

/**
 * Opens the keys of a TPM. The attestation key is RSA where the TPM has RSA, as other Verifiers expect; being a primary key it is the same at every
 * start, until the TPM is cleared.
 */
export async function vtpmAttester({
  device,
  eventLogFile = EVENT_LOG_FILE,
}: VtpmOptions): Promise<VtpmAttester> {
  const tpm = new Tpm(device)
  const attestationKey = await firstKind((kind) => tpm.createPrimary(attestationKeyTemplate(kind)))
  return new VtpmAttester(tpm, attestationKey, eventLogFile)
}

export class VtpmAttester implements Attester {
  readonly tee = 'tpm'
  readonly #tpm: Tpm
  readonly #attestationKey: PrimaryKey
  readonly #eventLogFile: string
  #certificate: Uint8Array | undefined
  #last: Promise<unknown> = Promise.resolve()

  constructor(tpm: Tpm, attestationKey: PrimaryKey, eventLogFile: string) {
    this.#tpm = tpm
    this.#attestationKey = attestationKey
    this.#eventLogFile = eventLogFile
  }

  attest(reportData: Uint8Array): Promise<Evidence> {
    const answer = this.#last.then(() => this.#attestOnce(reportData.subarray(0, NONCE_BYTES)))
    this.#last = answer.catch(() => undefined)
    return answer
  }

  async identity(): Promise<TpmIdentity> {
    const found = await this.#endorsement()
    return {
      endorsementCertificate: found?.certificate,
      attestationKey: this.#attestationKey.publicArea,
    }
  }

  /** @returns what was encrypted; only the TPM that holds both keys can tell it */
  async activate(credential: TpmCredential): Promise<Uint8Array> {
    const { kind = 'rsa' } = (await this.#endorsement()) ?? {}
    const endorsementKey = await this.#tpm.createPrimary(endorsementKeyTemplate(kind))
    try {
      return await this.#tpm.activateCredential(
        {
          attestationKey: this.#attestationKey.handle,
          endorsementKey: endorsementKey.handle,
        },
        credential,
      )
    } finally {
      await this.#tpm.flushContext(endorsementKey.handle)
    }
  }

  /** From now on it is part of the Evidence. @param certificate - of the attestation key, DER */
  certify(certificate: Uint8Array): void {
    this.#certificate = certificate
  }

  async #endorsement(): Promise<{ kind: TpmKeyKind; certificate: Uint8Array } | undefined> {
    for (const kind of TPM_KEY_KINDS) {
      const held = await this.#tpm.nvRead(EK_CERTIFICATE_INDEX[kind])
      if (held !== undefined) return { kind, certificate: certificateIn(held) }
    }
    return undefined
  }

  async #attestOnce(nonce: Uint8Array): Promise<Evidence> {
    const area = parseTpmPublicArea(this.#attestationKey.publicArea)
    const [quote, other] = await Promise.all(BANKS.map((bank) => this.#quote(bank, nonce)))
    if (quote === undefined) throw failed('the TPM keeps no bank of SHA-256')
    const eventLog = await readEventLog(this.#eventLogFile)
    const { endorsementCertificate } = await this.identity()
    const json = encodeTpmEvidenceJson({
      quote,
      otherQuotes: other === undefined ? [] : [other],
      ak: area.spki,
      publicArea: area.raw,
      ...(this.#certificate !== undefined && { certificate: this.#certificate }),
      ...(endorsementCertificate !== undefined && { endorsementCertificate }),
      ...(eventLog !== undefined && { eventLog }),
    })
    return { json: JSON.stringify(json) }
  }

  /** A quote that is over the values beside it; undefined when the TPM does not keep the bank. */
  async #quote(bank: (typeof BANKS)[number], nonce: Uint8Array): Promise<TpmQuoteJson | undefined> {
    for (let attempt = 0; attempt < QUOTE_TRIES; attempt++) {
      const values = await this.#tpm.pcrRead(bank)
      if (values === undefined) return undefined
      const { message, signature } = await this.#tpm.quote(this.#attestationKey.handle, nonce, bank)
      // Both templates sign with SHA-256, and so is the digest over the PCRs, whatever their bank.
      const digest = createHash('sha256')
        .update(concatBytes(...values))
        .digest()
      if (digest.equals(parseTpmAttest(message).pcrDigest))
        return { hash: bank, message, signature, values }
    }
    throw failed('the PCRs change faster than they can be quoted')
  }
}

async function firstKind(make: (kind: TpmKeyKind) => Promise<PrimaryKey>): Promise<PrimaryKey> {
  const [preferred, other] = TPM_KEY_KINDS
  try {
    return await make(preferred)
  } catch {
    return make(other)
  }
}

/** The index may be larger than the certificate in it. */
function certificateIn(held: Uint8Array): Uint8Array {
  try {
    return new DerReader('EK certificate', held).element(TAG.sequence, 'certificate').raw
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause
    throw failed('the EK certificate in the TPM is malformed', cause)
  }
}

async function readEventLog(file: string): Promise<Uint8Array | undefined> {
  try {
    const log = await readFile(file)
    if (log.length > MAX_LOG_BYTES) throw failed(`the event log has ${log.length} bytes`)
    return log
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

function failed(why: string, cause?: unknown): CloisterError {
  return new CloisterError('agent.tpm-failed', { why, cause })
}
