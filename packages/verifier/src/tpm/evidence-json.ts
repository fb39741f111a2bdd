/**
 * TPM Evidence as CoCo's attestation agent sends it to a KBS: `{"tpm_quote": {signature, message, pcrs}, "ak_public"}`. Ours adds, and
 * others ignore: `ak_public_area` (TPMT_PUBLIC), `ak_certificate` and `ek_certificate` (DER), `event_log`, all in base64, and `other_quotes`, each
 * like `tpm_quote` with the bank's name in `hash`.
 */
import { equalBytes } from '../bytes/equal.ts'
import { fromBase64, toBase64 } from '../bytes/base64.ts'
import { FormatError } from '../bytes/format-error.ts'
import { fromHex, toHex } from '../bytes/hex.ts'
import { fieldOf, listOf, objectOf } from '../formats/json-fields.ts'
import { TPM_HASHES } from './algorithms.ts'
import type { HashName } from './algorithms.ts'
import { PCR_COUNT } from './evidence.ts'
import type { PcrBank, TpmEvidence, TpmQuote } from './evidence.ts'
import { parseTpmPublicArea } from './public-area.ts'
import { parseTpmSignature } from './signature.ts'

const FORMAT = 'TPM evidence JSON'
const MAX_TEXT = 65_536
/** Base64 of an event log of 1 MiB. */
const MAX_LOG_TEXT = 1_398_104
const MAX_OTHER_QUOTES = 3
/** KBS hands the agent a SHA-256 digest as nonce. */
const NONCE_SIZE = 32

type Json = Readonly<Record<string, unknown>>

/** @param value - the parsed JSON. @throws FormatError */
export function parseTpmEvidenceJson(value: unknown): TpmEvidence {
  const json = objectOf(FORMAT, 'evidence', value)
  const quote = objectOf(FORMAT, 'tpm_quote', fieldOf(FORMAT, json, 'tpm_quote'))
  const others = listOf(FORMAT, 'other_quotes', json['other_quotes'] ?? [], MAX_OTHER_QUOTES)
  const ak = base64Of(json, 'ak_public')
  const certificate = optionalBase64(json, 'ak_certificate')
  const endorsementCertificate = optionalBase64(json, 'ek_certificate')
  const eventLog = optionalBase64(json, 'event_log', MAX_LOG_TEXT)
  return {
    ak,
    quotes: [
      readQuote(quote, 'sha256'),
      ...others.map((other) => {
        const fields = objectOf(FORMAT, 'other_quotes', other)
        return readQuote(fields, hashOf(fields))
      }),
    ],
    nonceSize: NONCE_SIZE,
    ...readPublicArea(json, ak),
    ...(certificate !== undefined && { certificate }),
    ...(endorsementCertificate !== undefined && { endorsementCertificate }),
    ...(eventLog !== undefined && { eventLog }),
  }
}

/** A quote as a TPM gave it, and the PCRs of the bank that it is over. */
export interface TpmQuoteJson {
  readonly hash: HashName
  /** TPMS_ATTEST. */
  readonly message: Uint8Array
  /** TPMT_SIGNATURE. */
  readonly signature: Uint8Array
  /** All of the bank, by index. */
  readonly values: readonly Uint8Array[]
}

export interface TpmEvidenceParts extends Pick<
  TpmEvidence,
  'certificate' | 'endorsementCertificate' | 'eventLog'
> {
  /** SubjectPublicKeyInfo in DER. */
  readonly ak: Uint8Array
  /** TPMT_PUBLIC. */
  readonly publicArea: Uint8Array
  /** Of the SHA-256 bank: the one that other Verifiers know. */
  readonly quote: TpmQuoteJson
  readonly otherQuotes: readonly TpmQuoteJson[]
}

/** What {@link parseTpmEvidenceJson} reads. */
export function encodeTpmEvidenceJson(parts: TpmEvidenceParts): Json {
  const { certificate, endorsementCertificate, eventLog } = parts
  return {
    tpm_quote: quoteJson(parts.quote),
    ak_public: toBase64(parts.ak),
    ak_public_area: toBase64(parts.publicArea),
    other_quotes: parts.otherQuotes.map((quote) => ({ hash: quote.hash, ...quoteJson(quote) })),
    ...(certificate !== undefined && { ak_certificate: toBase64(certificate) }),
    ...(endorsementCertificate !== undefined && {
      ek_certificate: toBase64(endorsementCertificate),
    }),
    ...(eventLog !== undefined && { event_log: toBase64(eventLog) }),
  }
}

function quoteJson({ message, signature, values }: TpmQuoteJson): Json {
  return {
    signature: toBase64(signature),
    message: toBase64(message),
    pcrs: values.map((value) => toHex(value)),
  }
}

function readQuote(json: Json, hash: HashName): TpmQuote {
  const message = base64Of(json, 'message')
  const signature = parseTpmSignature(base64Of(json, 'signature'))
  return { message, signature, banks: [pcrBank(FORMAT, hash, fieldOf(FORMAT, json, 'pcrs'))] }
}

function hashOf(json: Json): HashName {
  const name = fieldOf(FORMAT, json, 'hash')
  const hash = Object.values(TPM_HASHES).find((known) => known.name === name)
  if (hash === undefined) throw new FormatError(FORMAT, 'hash', 0, 'names no bank')
  return hash.name
}

/** Its attributes count only for the key that the quotes are checked with. */
function readPublicArea(json: Json, ak: Uint8Array): Pick<TpmEvidence, 'publicArea'> {
  const bytes = optionalBase64(json, 'ak_public_area')
  if (bytes === undefined) return {}
  const publicArea = parseTpmPublicArea(bytes)
  if (!equalBytes(publicArea.spki, ak))
    throw new FormatError(FORMAT, 'ak_public_area', 0, 'is of another key than ak_public')
  return { publicArea }
}

/** All PCRs of the SHA-256 bank, in hex. @throws FormatError */
export function sha256Bank(format: string, value: unknown): PcrBank {
  return pcrBank(format, 'sha256', value)
}

function pcrBank(format: string, hash: HashName, value: unknown): PcrBank {
  const list = listOf(format, 'pcrs', value, PCR_COUNT)
  const { size } = TPM_HASHES[hash]
  const values = list.map((text) => {
    if (typeof text !== 'string' || text.length !== size * 2)
      throw new FormatError(format, 'pcrs', 0, `not ${size} bytes in hex`)
    return fromHex(text)
  })
  if (values.length !== PCR_COUNT)
    throw new FormatError(format, 'pcrs', 0, `${values.length}, wanted ${PCR_COUNT}`)
  return { hash, values: new Map(values.entries()) }
}

function optionalBase64(json: Json, field: string, most = MAX_TEXT): Uint8Array | undefined {
  return Object.hasOwn(json, field) ? base64Of(json, field, most) : undefined
}

function base64Of(json: Json, field: string, most = MAX_TEXT): Uint8Array {
  const text = fieldOf(FORMAT, json, field)
  if (typeof text !== 'string' || text.length > most)
    throw new FormatError(FORMAT, field, 0, 'not a text of sensible length')
  return fromBase64(text)
}
