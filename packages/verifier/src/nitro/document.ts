/**
 * AWS Nitro Enclaves attestation document: COSE_Sign1 (ES384) over a CBOR map. "Attestation process" in the AWS Nitro Enclaves NSM API.
 * Whatever parses encodes back to the same bytes.
 */
import { FormatError } from '../bytes/format-error.ts'
import { CborFields } from '../formats/cbor-fields.ts'
import type { CborItem, CborKey } from '../formats/cbor-item.ts'
import { parseCbor } from '../formats/cbor-reader.ts'
import { parseCoseSign1 } from '../formats/cose-sign1.ts'
import type { CoseSign1 } from '../formats/cose-sign1.ts'

const FORMAT = 'Nitro document'

/** Sizes in bytes. */
const LIMIT = {
  payload: { least: 1, most: 16_384 },
  certificate: { least: 1, most: 1024 },
  publicKey: { least: 1, most: 1024 },
  userData: { least: 0, most: 1024 },
  nonce: { least: 0, most: 1024 },
} as const
const MAX_ISSUERS = 16
const PCR_COUNT = 32
const PCR_SIZES: ReadonlySet<number> = new Set([32, 48, 64])
const SIGNATURE_BYTES = 96

export const ES384 = -35

export interface NitroDocument {
  readonly message: CoseSign1
  /** `i-…-enc…`: instance and enclave. */
  readonly moduleId: string
  /** When the Nitro hypervisor made it, by its own clock. */
  readonly time: Date
  /** By index, 0 to 31; only those that the document lists. */
  readonly pcrs: ReadonlyMap<number, Uint8Array>
  /** Signs the document; DER. */
  readonly certificate: Uint8Array
  /** Root first, then down to the issuer of the certificate; DER. */
  readonly issuers: readonly Uint8Array[]
  /** The three that the enclave chose; undefined when it chose none. */
  readonly publicKey: Uint8Array | undefined
  readonly userData: Uint8Array | undefined
  readonly nonce: Uint8Array | undefined
}

/** @throws FormatError */
export function parseNitroDocument(bytes: Uint8Array): NitroDocument {
  const message = parseCoseSign1(bytes)
  const { payload, signature, unprotected } = message
  if (payload.length < LIMIT.payload.least || payload.length > LIMIT.payload.most)
    throw new FormatError(FORMAT, 'payload', 0, `${payload.length} bytes`)
  if (signature.length !== SIGNATURE_BYTES)
    throw new FormatError(FORMAT, 'signature', 0, `${signature.length} bytes, wanted 96`)
  if (unprotected.size !== 0) throw new FormatError(FORMAT, 'unprotected', 0, 'not empty')
  const fields = new CborFields(FORMAT, parseCbor(FORMAT, payload))
  if (fields.text('digest') !== 'SHA384') fields.fail('digest', 'not SHA384')
  const document: NitroDocument = {
    message,
    moduleId: fields.text('module_id'),
    time: readTime(fields),
    pcrs: readPcrs(fields),
    certificate: fields.bytes('certificate', LIMIT.certificate),
    issuers: readIssuers(fields),
    // Absent ones are null in real documents, although the AWS text says that no field may be.
    publicKey: fields.optional('public_key', (key) => fields.bytes(key, LIMIT.publicKey)),
    userData: fields.optional('user_data', (key) => fields.bytes(key, LIMIT.userData)),
    nonce: fields.optional('nonce', (key) => fields.bytes(key, LIMIT.nonce)),
  }
  fields.end()
  return document
}

function readTime(fields: CborFields): Date {
  // Dates reach to 8.64e15 ms.
  const milliseconds = fields.number('timestamp', 8.64e15)
  return milliseconds === 0 ? fields.fail('timestamp', 'is zero') : new Date(milliseconds)
}

function readPcrs(fields: CborFields): ReadonlyMap<number, Uint8Array> {
  const entries = fields.map('pcrs')
  if (entries.size === 0 || entries.size > PCR_COUNT) fields.fail('pcrs', 'none or too many')
  const pcrs = new Map<number, Uint8Array>()
  for (const [index, item] of entries) pcrs.set(pcrIndex(fields, index), pcrValue(fields, item))
  return pcrs
}

function pcrIndex(fields: CborFields, index: CborKey): number {
  if (typeof index !== 'number' || index < 0 || index >= PCR_COUNT)
    return fields.fail('pcrs', 'an index is not 0 to 31')
  return index
}

function pcrValue(fields: CborFields, item: CborItem): Uint8Array {
  if (item.kind !== 'bytes' || !PCR_SIZES.has(item.value.length))
    return fields.fail('pcrs', 'a value is not 32, 48 or 64 bytes')
  return item.value
}

function readIssuers(fields: CborFields): readonly Uint8Array[] {
  const { least, most } = LIMIT.certificate
  return fields.array('cabundle', { least: 1, most: MAX_ISSUERS }).map((item) => {
    if (item.kind !== 'bytes' || item.value.length < least || item.value.length > most)
      return fields.fail('cabundle', 'an entry is no certificate')
    return item.value
  })
}
