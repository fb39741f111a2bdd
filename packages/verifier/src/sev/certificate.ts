/**
 * Certificates of SEV and SEV-ES firmware (AMD 55766, chapter "Certificate formats"). Little-endian; so are numbers of keys and signatures.
 *
 * Platform certificates (PDH, PEK, OCA, CEK), 2084 bytes:
 * 0x000 version u32 = 1 | 0x004 API major u8, minor u8 | 0x006 reserved u16 | 0x008 usage u32 | 0x00c algorithm u32 | 0x010 key, 1028 bytes
 * 0x414 two signatures of 520: usage u32, algorithm u32, 512 bytes; bytes 0 to 0x414 are signed.
 *
 * AMD's own (ASK, ARK), 64 + 3n bytes, n = 256 or 512:
 * 0x00 version u32 = 1 | 0x04 key id 16 | 0x14 id of the certifying key 16 | 0x24 usage u32 | 0x28 reserved 16 | 0x38 bits of the exponent u32 | 0x3c bits
 * of the modulus u32 | 0x40 exponent n | modulus n | signature n; all before the signature is signed.
 */
import { ByteReader } from '../bytes/reader.ts'
import { concatBytes } from '../bytes/concat.ts'
import { keyFromPoint } from '../formats/ec-point.ts'
import { derBitString, derInteger, derNull, derOid, derSequence } from '../formats/der-writer.ts'
import { OID } from '../formats/x509-algorithm.ts'

export const PLATFORM_CERTIFICATE_BYTES = 2084
const PLATFORM_BODY_BYTES = 0x414
const KEY_BYTES = 1028
const SIGNATURE_BYTES = 512
const FIELD_BYTES = 72
const AMD_HEADER_BYTES = 64

export const SEV_USAGE = {
  ark: 0x0,
  ask: 0x13,
  none: 0x1000,
  oca: 0x1001,
  pek: 0x1002,
  pdh: 0x1003,
  cek: 0x1004,
} as const

export type SevAlgorithm =
  | 'none'
  | 'rsa-sha256'
  | 'rsa-sha384'
  | 'ecdsa-sha256'
  | 'ecdsa-sha384'
  | 'ecdh-sha256'
  | 'ecdh-sha384'

export const SEV_ALGORITHMS: ReadonlyMap<number, SevAlgorithm> = new Map([
  [0x000, 'none'],
  [0x001, 'rsa-sha256'],
  [0x002, 'ecdsa-sha256'],
  [0x003, 'ecdh-sha256'],
  [0x101, 'rsa-sha384'],
  [0x102, 'ecdsa-sha384'],
  [0x103, 'ecdh-sha384'],
])

const CURVES: ReadonlyMap<number, { readonly size: number }> = new Map([
  [1, { size: 32 }],
  [2, { size: 48 }],
])

export interface SevSignature {
  readonly usage: number
  readonly algorithm: SevAlgorithm
  /** 512 bytes as written: RSA a number, ECDSA r and s of 72 bytes each. */
  readonly value: Uint8Array
}

export interface PlatformCertificate {
  /** What is signed. */
  readonly body: Uint8Array
  readonly apiMajor: number
  readonly apiMinor: number
  readonly usage: number
  readonly algorithm: SevAlgorithm
  /** SubjectPublicKeyInfo in DER; absent for a key that is not on P-256 or P-384. */
  readonly spki: Uint8Array | undefined
  /** Bytes of a coordinate of the key. */
  readonly fieldBytes: number
  readonly signatures: readonly SevSignature[]
}

export interface AmdCertificate {
  readonly body: Uint8Array
  /** 16 bytes. */
  readonly keyId: Uint8Array
  readonly certifyingId: Uint8Array
  readonly usage: number
  /** RSA, SubjectPublicKeyInfo in DER. */
  readonly spki: Uint8Array
  /** Of the key, and of the signatures that it makes. */
  readonly algorithm: 'rsa-sha256' | 'rsa-sha384'
  /** Big-endian, as long as the key. */
  readonly signature: Uint8Array
}

/** @param bytes - 2084. @throws FormatError */
export function parsePlatformCertificate(bytes: Uint8Array): PlatformCertificate {
  const reader = new ByteReader('SEV certificate', bytes)
  if (reader.u32le('version') !== 1) reader.fail('version', 0, 'not 1')
  const apiMajor = reader.u8('API major')
  const apiMinor = reader.u8('API minor')
  reader.u16le('reserved')
  const usage = reader.u32le('usage')
  const algorithm = readAlgorithm(reader)
  const key = reader.bytes(KEY_BYTES, 'key')
  const signatures = [1, 2].map(() => ({
    usage: reader.u32le('signature usage'),
    algorithm: readAlgorithm(reader),
    value: reader.bytes(SIGNATURE_BYTES, 'signature'),
  }))
  reader.end()
  const body = bytes.subarray(0, PLATFORM_BODY_BYTES)
  return { body, apiMajor, apiMinor, usage, algorithm, ...ecKey(key, algorithm), signatures }
}

function readAlgorithm(reader: ByteReader): SevAlgorithm {
  const at = reader.offset
  return SEV_ALGORITHMS.get(reader.u32le('algorithm')) ?? reader.fail('algorithm', at, 'unknown')
}

/** Curve u32, x 72, y 72. */
function ecKey(key: Uint8Array, algorithm: SevAlgorithm) {
  const reader = new ByteReader('SEV key', key)
  const curve = CURVES.get(reader.u32le('curve'))
  if (curve === undefined || !algorithm.startsWith('ec')) return { spki: undefined, fieldBytes: 0 }
  const { size } = curve
  const coordinate = (field: string) => numberOf(reader.bytes(FIELD_BYTES, field), size, field)
  const point = concatBytes(Uint8Array.of(4), coordinate('x'), coordinate('y'))
  return { spki: keyFromPoint(point).spki, fieldBytes: size }
}

/**
 * A little-endian number as a big-endian one of its size.
 *
 * @throws FormatError where it is larger
 */
export function numberOf(bytes: Uint8Array, size: number, field: string): Uint8Array<ArrayBuffer> {
  new ByteReader('SEV number', bytes.subarray(size)).zeros(bytes.length - size, field)
  return Uint8Array.from(bytes.subarray(0, size)).reverse()
}

/** @returns it and what follows. @throws FormatError */
export function parseAmdCertificate(bytes: Uint8Array): {
  readonly certificate: AmdCertificate
  readonly rest: Uint8Array
} {
  const reader = new ByteReader('AMD certificate', bytes)
  if (reader.u32le('version') !== 1) reader.fail('version', 0, 'not 1')
  const keyId = reader.bytes(16, 'key id')
  const certifyingId = reader.bytes(16, 'certifying id')
  const usage = reader.u32le('usage')
  reader.bytes(16, 'reserved')
  const exponentBits = reader.u32le('exponent bits')
  const modulusBits = reader.u32le('modulus bits')
  if (exponentBits !== modulusBits || (modulusBits !== 2048 && modulusBits !== 4096))
    reader.fail('modulus bits', 0x38, `${exponentBits} and ${modulusBits}`)
  const size = modulusBits / 8
  const exponent = numberOf(reader.bytes(size, 'exponent'), size, 'exponent')
  const modulus = numberOf(reader.bytes(size, 'modulus'), size, 'modulus')
  const signature = numberOf(reader.bytes(size, 'signature'), size, 'signature')
  const key = derSequence(derInteger(modulus), derInteger(exponent))
  const spki = derSequence(derSequence(derOid(OID.rsaEncryption), derNull()), derBitString(key))
  const certificate: AmdCertificate = {
    body: bytes.subarray(0, AMD_HEADER_BYTES + 2 * size),
    keyId,
    certifyingId,
    usage,
    spki,
    algorithm: size === 256 ? 'rsa-sha256' : 'rsa-sha384',
    signature,
  }
  return { certificate, rest: reader.rest() }
}
