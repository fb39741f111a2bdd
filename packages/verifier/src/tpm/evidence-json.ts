/** TPM Evidence as CoCo's attestation agent sends it to a KBS: `{"tpm_quote": {signature, message, pcrs}, "ak_public"}`. */
import { fromBase64 } from '../bytes/base64.ts'
import { FormatError } from '../bytes/format-error.ts'
import { fromHex } from '../bytes/hex.ts'
import { fieldOf, listOf, objectOf } from '../formats/json-fields.ts'
import { TPM_HASHES } from './algorithms.ts'
import { PCR_COUNT } from './evidence.ts'
import type { PcrBank, TpmEvidence } from './evidence.ts'
import { parseTpmSignature } from './signature.ts'

const FORMAT = 'TPM evidence JSON'
const MAX_TEXT = 65_536
/** KBS hands the agent a SHA-256 digest as nonce. */
const NONCE_SIZE = 32

/** @param value - the parsed JSON. @throws FormatError */
export function parseTpmEvidenceJson(value: unknown): TpmEvidence {
  const json = objectOf(FORMAT, 'evidence', value)
  const quote = objectOf(FORMAT, 'tpm_quote', fieldOf(FORMAT, json, 'tpm_quote'))
  const message = base64Of(quote, 'message')
  const signature = parseTpmSignature(base64Of(quote, 'signature'))
  const banks = [sha256Bank(FORMAT, fieldOf(FORMAT, quote, 'pcrs'))]
  return {
    ak: base64Of(json, 'ak_public'),
    quotes: [{ message, signature, banks }],
    nonceSize: NONCE_SIZE,
  }
}

/** All PCRs of the SHA-256 bank, in hex. @throws FormatError */
export function sha256Bank(format: string, value: unknown): PcrBank {
  const list = listOf(format, 'pcrs', value, PCR_COUNT)
  const { size } = TPM_HASHES.sha256
  const values = list.map((text) => {
    if (typeof text !== 'string' || text.length !== size * 2)
      throw new FormatError(format, 'pcrs', 0, `not ${size} bytes in hex`)
    return fromHex(text)
  })
  if (values.length !== PCR_COUNT)
    throw new FormatError(format, 'pcrs', 0, `${values.length}, wanted ${PCR_COUNT}`)
  return { hash: 'sha256', values: new Map(values.entries()) }
}

function base64Of(json: Readonly<Record<string, unknown>>, field: string): Uint8Array {
  const text = fieldOf(FORMAT, json, field)
  if (typeof text !== 'string' || text.length > MAX_TEXT)
    throw new FormatError(FORMAT, field, 0, 'not a text of sensible length')
  return fromBase64(text)
}
