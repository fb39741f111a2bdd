/**
 * Hygon's certificates: two binary layouts after AMD's SEV, with SM2 keys. Read only: no signature is verified here, for no runtime
 * offers SM2. Little-endian; numbers of keys and signatures are kept as they are written.
 */
import { ByteReader } from '../bytes/reader.ts'
import { fromUtf8 } from '../bytes/text.ts'

export const ROOT_CERTIFICATE_BYTES = 832
export const PLATFORM_CERTIFICATE_BYTES = 2084

const COORDINATE_BYTES = 72
const USER_ID_BYTES = 254
const SM2 = 3
const ROOT_VERSION = 1
const PLATFORM_VERSIONS: ReadonlySet<number> = new Set([1, 2])

/** Which key it is. */
export const KEY_USAGE = {
  0x0000: 'hrk',
  0x0013: 'hsk',
  0x1000: 'none',
  0x1001: 'oca',
  0x1002: 'pek',
  0x1003: 'pdh',
  0x1004: 'cek',
} as const

export type KeyUsage = (typeof KEY_USAGE)[keyof typeof KEY_USAGE]

export interface Sm2Key {
  readonly x: Uint8Array
  readonly y: Uint8Array
  /** Goes into the digest that SM2 signs. */
  readonly userId: string
}

export interface Sm2Signature {
  readonly r: Uint8Array
  readonly s: Uint8Array
}

/** HRK and HSK. */
export interface RootCertificate {
  /** 16 bytes. */
  readonly keyId: Uint8Array
  readonly issuerKeyId: Uint8Array
  readonly usage: KeyUsage
  readonly key: Sm2Key
  readonly signature: Sm2Signature
}

/** CEK and PEK. */
export interface PlatformCertificate {
  readonly version: number
  readonly api: { readonly major: number; readonly minor: number }
  readonly usage: KeyUsage
  readonly key: Sm2Key
  /** Two at most; `usage` says whose. */
  readonly signatures: readonly { readonly usage: KeyUsage; readonly signature: Sm2Signature }[]
}

/** 832 bytes. @throws FormatError */
export function parseRootCertificate(bytes: Uint8Array): RootCertificate {
  const reader = new ByteReader('Hygon root certificate', bytes)
  if (reader.u32le('version') !== ROOT_VERSION) reader.fail('version', 0, 'not 1')
  const keyId = reader.bytes(16, 'keyId')
  const issuerKeyId = reader.bytes(16, 'issuerKeyId')
  const usage = readUsage(reader)
  reader.zeros(24, 'reserved')
  const key = readKey(reader)
  reader.zeros(108, 'key padding')
  const signature = readSignature(reader)
  reader.zeros(112, 'signature padding')
  reader.end()
  return { keyId, issuerKeyId, usage, key, signature }
}

/** 2084 bytes. @throws FormatError */
export function parsePlatformCertificate(bytes: Uint8Array): PlatformCertificate {
  const reader = new ByteReader('Hygon platform certificate', bytes)
  const version = reader.u32le('version')
  if (!PLATFORM_VERSIONS.has(version)) reader.fail('version', 0, 'unknown')
  const api = { major: reader.u8('api.major'), minor: reader.u8('api.minor') }
  reader.bytes(2, 'reserved')
  const usage = readUsage(reader)
  readAlgorithm(reader)
  const key = readKey(reader)
  // Real CEKs have bytes of no documented meaning here.
  reader.bytes(624, 'key padding')
  const signatures = [readSigner(reader), readSigner(reader)].filter(
    (signer) => signer.usage !== 'none',
  )
  reader.end()
  return { version, api, usage, key, signatures }
}

/** r and s of 72 bytes each. */
export function readSignature(reader: ByteReader): Sm2Signature {
  return { r: reader.bytes(COORDINATE_BYTES, 'r'), s: reader.bytes(COORDINATE_BYTES, 's') }
}

export function readUsage(reader: ByteReader): KeyUsage {
  const { offset } = reader
  const usages: Readonly<Record<number, KeyUsage>> = KEY_USAGE
  return usages[reader.u32le('usage')] ?? reader.fail('usage', offset, 'unknown')
}

const SM2_SM3 = 4

/** SM2 with SM3, or none where there is no signature. */
export function readAlgorithm(reader: ByteReader): number {
  const { offset } = reader
  const algorithm = reader.u32le('algorithm')
  if (algorithm !== SM2_SM3 && algorithm !== 0) reader.fail('algorithm', offset, 'unknown')
  return algorithm
}

function readSigner(reader: ByteReader) {
  const usage = readUsage(reader)
  readAlgorithm(reader)
  const signature = readSignature(reader)
  reader.zeros(368, 'signature padding')
  return { usage, signature }
}

function readKey(reader: ByteReader): Sm2Key {
  const { offset } = reader
  if (reader.u32le('curve') !== SM2) reader.fail('curve', offset, 'not SM2')
  const x = reader.bytes(COORDINATE_BYTES, 'x')
  const y = reader.bytes(COORDINATE_BYTES, 'y')
  const length = reader.u16le('userId.length')
  if (length > USER_ID_BYTES) reader.fail('userId.length', offset, 'too long')
  const userId = fromUtf8('Hygon certificate', 'userId', reader.bytes(length, 'userId'))
  reader.zeros(USER_ID_BYTES - length, 'userId padding')
  return { x, y, userId }
}
