/** A FAKE TPM for tests: quotes any PCRs and any log, and certifies its key under its own root. Node, tests only. */
import { createHash, generateKeyPairSync } from 'node:crypto'
import { concatBytes } from '../bytes/concat.ts'
import { fromHex } from '../bytes/hex.ts'
import { toUtf8 } from '../bytes/text.ts'
import { EVENT_TYPE } from '../eventlog/event-types.ts'
import { replayLog } from '../eventlog/replay.ts'
import { encodeTcgLog } from '../eventlog/tcg-log.ts'
import type { TcgEvent } from '../eventlog/tcg-log.ts'
import { guidToBytes } from '../formats/guid.ts'
import type { Extension } from '../formats/x509-certificate.ts'
import {
  KEY_USAGE,
  basicConstraintsExtension,
  keyUsageExtension,
} from '../formats/x509-extensions.ts'
import { issueCertificate } from '../formats/x509-issue.ts'
import type { Signer } from '../formats/x509-issue.ts'
import { NAME_OID } from '../formats/x509-name.ts'
import { keySigner, spkiOf } from '../node/key-signer.ts'
import { TPM_HASHES } from '../tpm/algorithms.ts'
import { encodeTpmAttest, withSize, word } from '../tpm/attest.ts'
import type { TpmAttest } from '../tpm/attest.ts'
import type { TpmEvidence, TpmQuote } from '../tpm/evidence.ts'
import { parseTpmPublicArea } from '../tpm/public-area.ts'

/** fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, restricted, sign. */
export const AK_ATTRIBUTES = 0x5_0072
const NONCE = new Uint8Array(32).fill(9)
const GLOBAL = '8be4df61-93ca-11d2-aa0d-00e098032b8c'
const DATABASE = 'd719b2cb-3d3a-4596-a3bc-dad00e67656f'

export interface FakeCertificateOptions {
  readonly notBefore?: Date
  readonly notAfter?: Date
  readonly extensions?: readonly Extension[]
  /** Of another key than the TPM's. */
  readonly spki?: Uint8Array
}

export class FakeTpm {
  readonly root: Uint8Array
  /** SHA-256 of the root, lowercase hex. */
  readonly fingerprint: string
  readonly spki: Uint8Array
  readonly #ak: Signer
  readonly #ca: Signer

  constructor() {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    this.#ak = keySigner(privateKey)
    this.spki = spkiOf(privateKey)
    const ca = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
    this.#ca = keySigner(ca)
    const extensions = [basicConstraintsExtension(true), keyUsageExtension(KEY_USAGE.keyCertSign)]
    this.root = this.#issue('FAKE TPM root', spkiOf(ca), { extensions })
    this.fingerprint = createHash('sha256').update(this.root).digest('hex')
  }

  /** Certificate of the attestation key. */
  certificate(options: FakeCertificateOptions = {}): Uint8Array {
    return this.#issue('FAKE attestation key', options.spki ?? this.spki, {
      extensions: [basicConstraintsExtension(false), keyUsageExtension(KEY_USAGE.digitalSignature)],
      ...options,
    })
  }

  publicArea(attributes = AK_ATTRIBUTES): Uint8Array {
    const point = this.spki.subarray(-64)
    return concatBytes(
      fromHex('0023000b'),
      word(4, attributes),
      fromHex('000000100018000b00030010'),
      withSize(point.subarray(0, 32)),
      withSize(point.subarray(32)),
    )
  }

  /** @param change - replaces members of what is signed */
  quote(
    values: ReadonlyMap<number, Uint8Array>,
    change: Partial<TpmAttest> = {},
    bank: 'sha1' | 'sha256' | 'sha384' = 'sha256',
  ): TpmQuote {
    const indexes = [...values.keys()].toSorted((a, b) => a - b)
    const ordered = new Map(indexes.map((index) => [index, values.get(index) as Uint8Array]))
    const message = encodeTpmAttest({
      qualifiedSigner: new Uint8Array(34),
      extraData: NONCE,
      clock: 1000n,
      resetCount: 1,
      restartCount: 0,
      clockSafe: true,
      firmwareVersion: 1n,
      selections: [{ hash: TPM_HASHES[bank].id, indexes }],
      pcrDigest: createHash('sha256')
        .update(concatBytes(...ordered.values()))
        .digest(),
      ...change,
    })
    return this.signed(message, ordered, bank)
  }

  /** Any bytes as a quote. */
  signed(
    message: Uint8Array,
    values: ReadonlyMap<number, Uint8Array> = new Map(),
    bank: 'sha1' | 'sha256' | 'sha384' = 'sha256',
  ): TpmQuote {
    const signature = this.#ak.sign(message)
    const parts = [signature.subarray(0, 32), signature.subarray(32)]
    return {
      message,
      signature: { algorithm: 'ecdsa', hash: 'sha256', parts },
      banks: [{ hash: bank, values }],
    }
  }

  /** A certified key, a log, and a quote over what it extends; 24 PCRs. */
  async evidence(events: readonly TcgEvent[] = goodBoot()): Promise<TpmEvidence> {
    const replayed = await replayLog({ events }, 'sha256')
    const values = new Map(
      Array.from({ length: 24 }, (_, index) => [index, replayed.get(index) ?? new Uint8Array(32)]),
    )
    return {
      ak: this.spki,
      publicArea: parseTpmPublicArea(this.publicArea()),
      certificate: this.certificate(),
      intermediates: [this.root],
      quotes: [this.quote(values)],
      eventLog: fakeLog(events),
    }
  }

  #issue(name: string, spki: Uint8Array, options: FakeCertificateOptions): Uint8Array {
    return issueCertificate(
      {
        serial: 1,
        issuer: [{ oid: NAME_OID.commonName, value: 'FAKE TPM root' }],
        subject: [{ oid: NAME_OID.commonName, value: name }],
        notBefore: options.notBefore ?? new Date('2020-01-01T00:00:00Z'),
        notAfter: options.notAfter ?? new Date('2040-01-01T00:00:00Z'),
        spki,
        extensions: options.extensions ?? [],
      },
      this.#ca,
    )
  }
}

/** An agile log with SHA-256 alone. */
export function fakeLog(events: readonly TcgEvent[]): Uint8Array {
  const specId = concatBytes(
    toUtf8('Spec ID Event03\0'),
    fromHex('0000000000020002010000000b00200000'),
  )
  const size = Uint8Array.of(specId.length, 0, 0, 0)
  const header = concatBytes(fromHex('0000000003000000'), new Uint8Array(20), size, specId)
  return encodeTcgLog({
    form: 'agile',
    hashes: [TPM_HASHES.sha256],
    header,
    events,
    padding: new Uint8Array(),
  })
}

/** @param digest - absent means that of the data */
export function fakeEvent(
  index: number,
  type: number,
  data: Uint8Array,
  digest: Uint8Array = createHash('sha256').update(data).digest(),
): TcgEvent {
  return { index, type, data, digests: [{ hash: 'sha256', digest }], offset: 0 }
}

export const SEPARATOR = new Uint8Array(4)

/** A boot with Secure Boot, in which nothing is to be faulted. */
export function goodBoot(secureBoot: Uint8Array = Uint8Array.of(1)): TcgEvent[] {
  const variable = (vendor: string, name: string, data: Uint8Array) =>
    fakeEvent(7, EVENT_TYPE.variableDriverConfig, fakeVariable(vendor, name, data))
  const none = new Uint8Array()
  return [
    fakeEvent(0, EVENT_TYPE.crtmVersion, fromHex('4600410000')),
    variable(GLOBAL, 'SecureBoot', secureBoot),
    variable(GLOBAL, 'PK', none),
    variable(GLOBAL, 'KEK', none),
    variable(DATABASE, 'db', none),
    variable(DATABASE, 'dbx', none),
    ...[0, 1, 2, 3, 4, 5, 6, 7].map((index) => fakeEvent(index, EVENT_TYPE.separator, SEPARATOR)),
    fakeEvent(4, EVENT_TYPE.efiAction, toUtf8('Calling EFI Application from Boot Option')),
    fakeEvent(4, EVENT_TYPE.bootServicesApplication, none, new Uint8Array(32).fill(3)),
  ]
}

function fakeVariable(vendor: string, name: string, data: Uint8Array): Uint8Array {
  const wide = Uint8Array.from([...toUtf8(name)].flatMap((byte) => [byte, 0]))
  return concatBytes(
    guidToBytes(vendor),
    Uint8Array.of(name.length, 0, 0, 0, 0, 0, 0, 0),
    Uint8Array.of(data.length, 0, 0, 0, 0, 0, 0, 0),
    wide,
    data,
  )
}
