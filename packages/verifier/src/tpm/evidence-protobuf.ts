/** TPM Evidence as the `attest.Attestation` message of go-tpm-tools, which Google Compute Engine guests send. */
import { FormatError } from '../bytes/format-error.ts'
import { bytesField, bytesFields, numberField, parseProtobuf } from '../formats/protobuf.ts'
import { hashById } from './algorithms.ts'
import { PCR_COUNT } from './evidence.ts'
import type { PcrBank, TpmEvidence, TpmQuote } from './evidence.ts'
import { parseTpmPublicArea } from './public-area.ts'
import { parseTpmSignature } from './signature.ts'

const FORMAT = 'TPM attestation message'
const FIELD = {
  akPublic: 1,
  quotes: 2,
  eventLog: 3,
  canonicalLog: 5,
  akCertificate: 6,
  intermediates: 7,
} as const
const MAX_QUOTES = 8
const MAX_INTERMEDIATES = 8

/** @throws FormatError */
export function parseTpmMessage(bytes: Uint8Array): TpmEvidence {
  const fields = parseProtobuf(FORMAT, bytes)
  const quotes = limited('quotes', bytesFields(fields, FIELD.quotes), MAX_QUOTES)
  const publicArea = parseTpmPublicArea(bytesField(fields, FIELD.akPublic))
  const certificate = bytesField(fields, FIELD.akCertificate)
  const eventLog = bytesField(fields, FIELD.eventLog)
  const canonicalLog = bytesField(fields, FIELD.canonicalLog)
  const intermediates = bytesFields(fields, FIELD.intermediates)
  return {
    ak: publicArea.spki,
    publicArea,
    quotes: quotes.map(readQuote),
    intermediates: limited('intermediates', intermediates, MAX_INTERMEDIATES),
    ...(certificate.length > 0 && { certificate }),
    ...(eventLog.length > 0 && { eventLog }),
    ...(canonicalLog.length > 0 && { canonicalLog }),
  }
}

function readQuote(bytes: Uint8Array): TpmQuote {
  const fields = parseProtobuf(FORMAT, bytes)
  return {
    message: bytesField(fields, 1),
    signature: parseTpmSignature(bytesField(fields, 2)),
    banks: [readBank(bytesField(fields, 3))],
  }
}

function readBank(bytes: Uint8Array): PcrBank {
  const fields = parseProtobuf(FORMAT, bytes)
  const id = numberField(FORMAT, fields, 1)
  const hash = hashById(id)
  if (hash === undefined) throw new FormatError(FORMAT, 'pcrs.hash', 0, `0x${id.toString(16)}`)
  const values = new Map<number, Uint8Array>()
  for (const entry of bytesFields(fields, 2)) {
    const pair = parseProtobuf(FORMAT, entry)
    const index = numberField(FORMAT, pair, 1)
    const value = bytesField(pair, 2)
    if (index >= PCR_COUNT || value.length !== hash.size || values.has(index))
      throw new FormatError(FORMAT, 'pcrs', 0, `PCR ${index} of ${value.length} bytes`)
    values.set(index, value)
  }
  return { hash: hash.name, values }
}

function limited(field: string, list: readonly Uint8Array[], most: number): readonly Uint8Array[] {
  if (list.length > most) throw new FormatError(FORMAT, field, 0, `more than ${most}`)
  return list
}
