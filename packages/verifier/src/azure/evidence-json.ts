/** Azure's Evidence as CoCo's attestation agent sends it: version 0 has arrays of numbers, versions 1 and 2 hex and base64. */
import { fromBase64Url } from '../bytes/base64.ts'
import { FormatError } from '../bytes/format-error.ts'
import { fromHex, toHex } from '../bytes/hex.ts'
import { ByteReader } from '../bytes/reader.ts'
import { toUtf8 } from '../bytes/text.ts'
import { byteListOf, fieldOf, listOf, objectOf } from '../formats/json-fields.ts'
import { sha256Bank } from '../tpm/evidence-json.ts'
import type { TpmQuote } from '../tpm/evidence.ts'
import { PCR_COUNT } from '../tpm/evidence.ts'
import { parseCompactJson } from '../formats/json-text.ts'
import type { AzSnpEvidence, AzTdxEvidence } from './evidence.ts'

const FORMAT = 'Azure evidence JSON'
const MAX_BYTES = 1 << 20
const MAX_FIELD = 65_536
const SIGNATURE_BYTES = 512
const PCR_BYTES = 32

type Json = Readonly<Record<string, unknown>>

/** @throws FormatError */
export function parseAzSnpEvidence(bytes: Uint8Array): AzSnpEvidence {
  const { json, version } = readOuter(bytes)
  const [quote, report] = version === 0 ? ['quote', 'report'] : ['tpm_quote', 'hcl_report']
  const vcek = fieldOf(FORMAT, json, 'vcek')
  return {
    version,
    hclReport: bytesOf(json, report, version),
    quote: parseAzureQuote(fieldOf(FORMAT, json, quote), version === 0 ? 'numbers' : 'hex'),
    certificates: [version === 0 ? pemOf(vcek) : bytesOf(json, 'vcek', version)],
  }
}

/** @throws FormatError */
export function parseAzTdxEvidence(bytes: Uint8Array): AzTdxEvidence {
  const { json, version } = readOuter(bytes)
  const quote = fieldOf(FORMAT, json, 'tpm_quote')
  return {
    version,
    hclReport: bytesOf(json, 'hcl_report', version),
    quote: parseAzureQuote(quote, version === 0 ? 'numbers' : 'hex'),
    tdQuote: bytesOf(json, 'td_quote', version),
  }
}

/** `{signature, message, pcrs}`: a bare RSASSA signature, and all PCRs in SHA-256. @throws FormatError */
export function parseAzureQuote(value: unknown, form: 'numbers' | 'hex'): TpmQuote {
  const json = objectOf(FORMAT, 'quote', value)
  const field = (name: string) => fieldOf(FORMAT, json, name)
  const read = form === 'numbers' ? numberBytes : hexBytes
  const pcrs = field('pcrs')
  return quoteOf(
    read('signature', field('signature'), SIGNATURE_BYTES),
    read('message', field('message'), MAX_FIELD),
    form === 'hex'
      ? pcrs
      : listOf(FORMAT, 'pcrs', pcrs, PCR_COUNT).map((pcr) =>
          toHex(numberBytes('pcrs', pcr, PCR_BYTES)),
        ),
  )
}

/** The oldest serialisation: u64 LE lengths, and the PCRs without one each. @throws FormatError */
export function parseAzureQuoteBinary(bytes: Uint8Array): TpmQuote {
  const reader = new ByteReader('Azure quote', bytes)
  const length = (field: string, limit: number) => {
    const start = reader.offset
    const value = reader.u64le(field)
    return value > BigInt(limit) ? reader.fail(field, start, 'too long') : Number(value)
  }
  const signature = reader.bytes(length('signature', SIGNATURE_BYTES), 'signature')
  const message = reader.bytes(length('message', MAX_FIELD), 'message')
  const count = length('pcrs', PCR_COUNT)
  const pcrs = Array.from({ length: count }, () => toHex(reader.bytes(PCR_BYTES, 'pcrs')))
  reader.end()
  return quoteOf(signature, message, pcrs)
}

function quoteOf(signature: Uint8Array, message: Uint8Array, pcrs: unknown): TpmQuote {
  return {
    message,
    signature: { algorithm: 'rsassa', hash: 'sha256', parts: [signature] },
    banks: [sha256Bank(FORMAT, pcrs)],
  }
}

/** `{"platform", "evidence": {…}}` around it is opened. */
function readOuter(bytes: Uint8Array): { json: Json; version: 0 | 1 | 2 } {
  if (bytes.length > MAX_BYTES) throw new FormatError(FORMAT, 'length', 0, 'too long')
  const outer = objectOf(FORMAT, 'evidence', parseCompactJson(FORMAT, bytes))
  const json = Object.hasOwn(outer, 'evidence')
    ? objectOf(FORMAT, 'evidence', outer['evidence'])
    : outer
  if (!Object.hasOwn(json, 'version')) return { json, version: 0 }
  const { version } = json
  if (version !== 1 && version !== 2)
    throw new FormatError(FORMAT, 'version', 0, 'none of 1 and 2, nor absent')
  return { json, version }
}

function bytesOf(json: Json, field: string, version: number): Uint8Array {
  const value = fieldOf(FORMAT, json, field)
  return version === 0 ? numberBytes(field, value, MAX_FIELD) : paddedBase64Url(field, value)
}

function numberBytes(field: string, value: unknown, limit: number): Uint8Array {
  return byteListOf(FORMAT, field, value, limit)
}

function hexBytes(field: string, value: unknown, limit: number): Uint8Array {
  return fromHex(textOf(field, value, limit * 2))
}

/** RFC 4648 section 5, with the padding. */
function paddedBase64Url(field: string, value: unknown): Uint8Array {
  const text = textOf(field, value, MAX_FIELD * 2)
  if (text.length % 4 !== 0) throw new FormatError(FORMAT, field, 0, 'no padding')
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0
  return fromBase64Url(text.slice(0, text.length - padding))
}

function pemOf(value: unknown): Uint8Array {
  return toUtf8(textOf('vcek', value, MAX_FIELD))
}

function textOf(field: string, value: unknown, limit: number): string {
  if (typeof value !== 'string' || value.length > limit)
    throw new FormatError(FORMAT, field, 0, 'not a text of sensible length')
  return value
}
