/**
 * Hygon CSV attestation report, version 1 (csv-rs `AttestationReport`): 2548 bytes, little-endian. All but signature, `anonce` and what
 * follows the serial number is masked by XOR with `anonce`, repeated every 4 bytes. Read only: neither SM2 nor SM3 is computed here, so
 * nothing in it may be believed.
 */
import { ByteReader } from '../bytes/reader.ts'
import {
  PLATFORM_CERTIFICATE_BYTES,
  parsePlatformCertificate,
  readAlgorithm,
  readSignature,
  readUsage,
} from './certificate.ts'
import type { KeyUsage, PlatformCertificate, Sm2Signature } from './certificate.ts'

const FORMAT = 'CSV report'

/** Offsets of the parts that are masked apart from each other. */
const PART = {
  body: 0,
  anonce: 0xbc,
  signature: 0xc0,
  pek: 0x150,
  serial: 0x974,
  rest: 0x9b4,
} as const
export const CSV_REPORT_BYTES = 2548
const ANONCE_BYTES = 4

export interface CsvReport {
  readonly userPublicKeyDigest: Uint8Array
  readonly vmId: Uint8Array
  readonly vmVersion: Uint8Array
  /** 64 bytes that the guest chose. */
  readonly reportData: Uint8Array
  /** 16 bytes: key of the HMAC at the end. */
  readonly mnonce: Uint8Array
  /** 32 bytes, SM3. */
  readonly measure: Uint8Array
  readonly policy: number
  readonly signatureUsage: KeyUsage
  readonly anonce: Uint8Array
  readonly signature: Sm2Signature
  readonly pek: PlatformCertificate
  /** 64 bytes: ASCII with zeros behind. */
  readonly serialNumber: Uint8Array
  /** HMAC-SM3, 32 bytes. */
  readonly mac: Uint8Array
}

/** @throws FormatError */
export function parseCsvReport(bytes: Uint8Array): CsvReport {
  const whole = new ByteReader(FORMAT, bytes)
  if (bytes.length !== CSV_REPORT_BYTES)
    whole.fail('length', 0, `${bytes.length} bytes, wanted ${CSV_REPORT_BYTES}`)
  const anonce = bytes.subarray(PART.anonce, PART.anonce + ANONCE_BYTES)
  const body = new ByteReader(FORMAT, unmask(bytes.subarray(PART.body, PART.anonce), anonce))
  const fields = {
    userPublicKeyDigest: body.bytes(32, 'userPublicKeyDigest'),
    vmId: body.bytes(16, 'vmId'),
    vmVersion: body.bytes(16, 'vmVersion'),
    reportData: body.bytes(64, 'reportData'),
    mnonce: body.bytes(16, 'mnonce'),
    measure: body.bytes(32, 'measure'),
    policy: body.u32le('policy'),
    signatureUsage: readUsage(body),
  }
  readAlgorithm(body)
  body.end()
  const pek = unmask(bytes.subarray(PART.pek, PART.pek + PLATFORM_CERTIFICATE_BYTES), anonce)
  const end = new ByteReader(FORMAT, bytes.subarray(PART.rest))
  end.bytes(32, 'reserved')
  return {
    ...fields,
    anonce,
    signature: readSignature(new ByteReader(FORMAT, bytes.subarray(PART.signature, PART.pek))),
    pek: parsePlatformCertificate(pek),
    serialNumber: unmask(bytes.subarray(PART.serial, PART.rest), anonce),
    mac: end.bytes(32, 'mac'),
  }
}

function unmask(bytes: Uint8Array, anonce: Uint8Array): Uint8Array {
  const clear = new Uint8Array(bytes.length)
  for (let index = 0; index < clear.length; index++)
    clear[index] = (bytes[index] as number) ^ (anonce[index % ANONCE_BYTES] as number)
  return clear
}
