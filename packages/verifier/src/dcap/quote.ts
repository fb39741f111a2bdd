/**
 * Quotes of Intel DCAP, versions 3 to 5, of SGX enclaves and TDX domains (Intel SGX and TDX DCAP Quote Generation Library, appendix
 * A). Little-endian, but signatures and keys are r ‖ s and x ‖ y big-endian. The quote signature covers `signed`.
 */
import { concatBytes } from '../bytes/concat.ts'
import { ByteReader, isZero } from '../bytes/reader.ts'
import { ENCLAVE_REPORT_SIZE, encodeEnclaveReport, parseEnclaveReport } from './enclave-report.ts'
import type { EnclaveReport } from './enclave-report.ts'
import { TD_REPORT_10_SIZE, TD_REPORT_15_SIZE, encodeTdReport, parseTdReport } from './td-report.ts'
import type { TdReport } from './td-report.ts'

const FORMAT = 'DCAP quote'
const HEADER_SIZE = 48
const TEE_TDX = 0x81
const CERTIFICATION_QE_REPORT = 6

export const ECDSA_P256 = 2

export type QuoteBody =
  | { readonly kind: 'sgx'; readonly report: EnclaveReport }
  | { readonly kind: 'tdx'; readonly report: TdReport }

export interface CertificationData {
  /** 1 to 3: PPID; 4: PCK leaf; 5: PCK chain; 7: platform manifest. */
  readonly type: number
  readonly data: Uint8Array
}

export interface Quote {
  readonly version: number
  readonly attestationKeyType: number
  /** Bytes 8 to 12 of the header: SVNs that prove nothing. */
  readonly headerSvns: Uint8Array
  readonly vendorId: Uint8Array
  readonly userData: Uint8Array
  readonly body: QuoteBody
  /** Header and body as received. */
  readonly signed: Uint8Array
  readonly signature: Uint8Array
  /** x ‖ y of the P-256 attestation key. */
  readonly attestationKey: Uint8Array
  readonly qeReport: EnclaveReport
  readonly qeReportBytes: Uint8Array
  readonly qeReportSignature: Uint8Array
  readonly qeAuthData: Uint8Array
  readonly certification: CertificationData
  /** Zero bytes after the quote; real ones often have some. */
  readonly paddingBytes: number
}

/** @throws FormatError; `field` is `version` for a version other than 3 to 5 */
export function parseQuote(bytes: Uint8Array): Quote {
  const reader = new ByteReader(FORMAT, bytes)
  const version = reader.u16le('header')
  if (version < 3 || version > 5) reader.fail('version', 0, `${version}, wanted 3 to 5`)
  const attestationKeyType = reader.u16le('attestation_key_type')
  const teeType = reader.u32le('tee_type')
  if (teeType !== 0 && (teeType !== TEE_TDX || version === 3))
    reader.fail('tee_type', 4, `0x${teeType.toString(16)}`)
  const headerSvns = reader.bytes(4, 'svns')
  const vendorId = reader.bytes(16, 'vendor_id')
  const userData = reader.bytes(20, 'user_data')
  const body = readBody(reader, version, teeType)
  const signed = bytes.subarray(0, reader.offset)
  const length = reader.u32le('auth_data_len')
  const authenticated = readAuthData(reader.bytes(length, 'auth_data'), version)
  const padding = reader.rest()
  if (!isZero(padding))
    reader.fail('padding', bytes.length - padding.length, 'bytes after the quote are not zero')
  return {
    version,
    attestationKeyType,
    headerSvns,
    vendorId,
    userData,
    body,
    signed,
    ...authenticated,
    paddingBytes: padding.length,
  }
}

/** The quote's bytes again; `signed` is written from the fields. */
export function encodeQuote(quote: Quote): Uint8Array<ArrayBuffer> {
  const auth = encodeAuthData(quote)
  return concatBytes(
    encodeSigned(quote),
    u32(auth.length),
    auth,
    new Uint8Array(quote.paddingBytes),
  )
}

/** Header and body: what the attestation key signs. */
export function encodeSigned(
  quote: Pick<
    Quote,
    'version' | 'attestationKeyType' | 'headerSvns' | 'vendorId' | 'userData' | 'body'
  >,
): Uint8Array<ArrayBuffer> {
  const { version, body } = quote
  const bytes = body.kind === 'sgx' ? encodeEnclaveReport(body.report) : encodeTdReport(body.report)
  const prefix = version < 5 ? [] : [u16(bodyType(body)), u32(bytes.length)]
  return concatBytes(
    u16(version),
    u16(quote.attestationKeyType),
    u32(body.kind === 'tdx' ? TEE_TDX : 0),
    quote.headerSvns,
    quote.vendorId,
    quote.userData,
    ...prefix,
    bytes,
  )
}

function readBody(reader: ByteReader, version: number, teeType: number): QuoteBody {
  if (reader.offset !== HEADER_SIZE) reader.fail('header', 0, 'has another size')
  const isTdx = teeType === TEE_TDX
  let size = isTdx ? TD_REPORT_10_SIZE : ENCLAVE_REPORT_SIZE
  if (version === 5) {
    const type = reader.u16le('body_type')
    const declared = reader.u32le('body_size')
    if (isTdx && type === 3) size = TD_REPORT_15_SIZE
    if (type !== (isTdx ? (size === TD_REPORT_15_SIZE ? 3 : 2) : 1))
      reader.fail('body_type', HEADER_SIZE, `${type} does not fit the TEE type`)
    if (declared !== size) reader.fail('body_size', HEADER_SIZE + 2, `${declared}, wanted ${size}`)
  }
  const bytes = reader.bytes(size, 'body')
  return isTdx
    ? { kind: 'tdx', report: parseTdReport(bytes) }
    : { kind: 'sgx', report: parseEnclaveReport(bytes) }
}

type AuthData = Pick<
  Quote,
  | 'signature'
  | 'attestationKey'
  | 'qeReport'
  | 'qeReportBytes'
  | 'qeReportSignature'
  | 'qeAuthData'
  | 'certification'
>

function readAuthData(bytes: Uint8Array, version: number): AuthData {
  const reader = new ByteReader('DCAP quote authentication data', bytes)
  const signature = reader.bytes(64, 'signature')
  const attestationKey = reader.bytes(64, 'attestation_key')
  const inner = version === 3 ? reader : readWrapped(reader)
  const qeReportBytes = inner.bytes(ENCLAVE_REPORT_SIZE, 'qe_report')
  const qeReportSignature = inner.bytes(64, 'qe_report_signature')
  const qeAuthData = inner.bytes(inner.u16le('qe_auth_size'), 'qe_auth_data')
  const type = inner.u16le('certification_type')
  const data = inner.bytes(inner.u32le('certification_size'), 'certification_data')
  inner.end()
  reader.end()
  return {
    signature,
    attestationKey,
    qeReport: parseEnclaveReport(qeReportBytes),
    qeReportBytes,
    qeReportSignature,
    qeAuthData,
    certification: { type, data },
  }
}

/** Versions 4 and 5 put the QE report inside certification data of type 6. */
function readWrapped(reader: ByteReader): ByteReader {
  const at = reader.offset
  const type = reader.u16le('certification_type')
  if (type !== CERTIFICATION_QE_REPORT) reader.fail('certification_type', at, `${type}, wanted 6`)
  return new ByteReader(
    'DCAP QE report certification data',
    reader.bytes(reader.u32le('certification_size'), 'certification_data'),
  )
}

function encodeAuthData(quote: Quote): Uint8Array<ArrayBuffer> {
  const inner = concatBytes(
    quote.qeReportBytes,
    quote.qeReportSignature,
    u16(quote.qeAuthData.length),
    quote.qeAuthData,
    u16(quote.certification.type),
    u32(quote.certification.data.length),
    quote.certification.data,
  )
  const wrapped =
    quote.version === 3 ? [inner] : [u16(CERTIFICATION_QE_REPORT), u32(inner.length), inner]
  return concatBytes(quote.signature, quote.attestationKey, ...wrapped)
}

function bodyType(body: QuoteBody): number {
  if (body.kind === 'sgx') return 1
  return body.report.teeTcbSvn2 === undefined ? 2 : 3
}

function u16(value: number): Uint8Array {
  return Uint8Array.of(value & 0xff, value >> 8)
}

function u32(value: number): Uint8Array {
  return Uint8Array.of(value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, value >>> 24)
}
