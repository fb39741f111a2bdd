/** TPMT_PUBLIC of an attestation key (TPM 2.0 Library, part 2, 12.2.4). */
import { concatBytes } from '../bytes/concat.ts'
import { ByteReader } from '../bytes/reader.ts'
import { derBitString, derInteger, derNull, derOid, derSequence } from '../formats/der-writer.ts'
import { OID } from '../formats/x509-algorithm.ts'
import { hashById, hashDigest } from './algorithms.ts'
import { sized, word } from './attest.ts'
import { leftPad } from './signature.ts'

const FORMAT = 'TPM public area'
const RSA = 0x0001
const ECC = 0x0023
const NULL = 0x0010
const XOR = 0x000a
const CURVES: Readonly<Record<number, { readonly oid: string; readonly size: number }>> = {
  0x0003: { oid: OID.p256, size: 32 },
  0x0004: { oid: OID.p384, size: 48 },
}

/** Bits of TPMA_OBJECT. */
const ATTRIBUTES = {
  fixedTpm: 1,
  fixedParent: 4,
  sensitiveDataOrigin: 5,
  restricted: 16,
  decrypt: 17,
  sign: 18,
} as const

export interface TpmPublicArea {
  /** As received; its digest is the key's Name. */
  readonly raw: Uint8Array
  readonly nameHash: number
  readonly attributes: number
  /** SubjectPublicKeyInfo in DER. */
  readonly spki: Uint8Array
}

/** @throws FormatError; also for kinds of keys that sign no quotes */
export function parseTpmPublicArea(bytes: Uint8Array): TpmPublicArea {
  const reader = new ByteReader(FORMAT, bytes)
  const type = reader.u16be('type')
  const nameHash = reader.u16be('nameAlg')
  if (hashById(nameHash) === undefined) reader.fail('nameAlg', 2, `0x${nameHash.toString(16)}`)
  const attributes = reader.u32be('objectAttributes')
  sized(reader, 'authPolicy')
  readSymmetric(reader)
  readScheme(reader, 'scheme')
  const spki =
    type === RSA
      ? readRsa(reader)
      : type === ECC
        ? readEcc(reader)
        : reader.fail('type', 0, `0x${type.toString(16)}`)
  return { raw: bytes, nameHash, attributes, spki }
}

/**
 * Whether the key never leaves its TPM, was made there, and signs nothing but what the TPM itself made: without `restricted` it
 * would sign a forged quote that somebody hands in.
 */
export function isAttestationKey({ attributes }: TpmPublicArea): boolean {
  const has = (bit: number) => ((attributes >>> bit) & 1) === 1
  const { fixedTpm, fixedParent, sensitiveDataOrigin, restricted, sign, decrypt } = ATTRIBUTES
  return [fixedTpm, fixedParent, sensitiveDataOrigin, restricted, sign].every(has) && !has(decrypt)
}

/** Name of the key: its hash's identifier and the digest of its public area. */
export async function tpmName({ raw, nameHash }: TpmPublicArea): Promise<Uint8Array> {
  const hash = hashById(nameHash)
  if (hash === undefined) throw new TypeError('a parsed public area has a known hash')
  return concatBytes(word(2, nameHash), await hashDigest(hash.name, raw))
}

function readSymmetric(reader: ByteReader): void {
  if (reader.u16be('symmetric') === NULL) return
  reader.u16be('symmetric.keyBits')
  reader.u16be('symmetric.mode')
}

function readScheme(reader: ByteReader, field: string): void {
  const start = reader.offset
  const scheme = reader.u16be(field)
  if (scheme === XOR) reader.fail(field, start, 'XOR')
  if (scheme !== NULL) reader.u16be(`${field}.hash`)
}

function readRsa(reader: ByteReader): Uint8Array {
  const start = reader.offset
  const bits = reader.u16be('keyBits')
  const exponent = reader.u32be('exponent') || 65_537
  const modulus = sized(reader, 'unique')
  reader.end()
  if (modulus.length * 8 !== bits) reader.fail('unique', start, 'has another size than keyBits')
  const algorithm = derSequence(derOid(OID.rsaEncryption), derNull())
  const key = derSequence(derInteger(modulus), derInteger(exponent))
  return derSequence(algorithm, derBitString(key))
}

function readEcc(reader: ByteReader): Uint8Array {
  const start = reader.offset
  const id = reader.u16be('curve')
  readScheme(reader, 'kdf')
  const curve = CURVES[id] ?? reader.fail('curve', start, `0x${id.toString(16)}`)
  const parts = [sized(reader, 'x'), sized(reader, 'y')]
  reader.end()
  const [x, y] = parts.map((part) => leftPad(part, curve.size))
  if (x === undefined || y === undefined)
    return reader.fail('unique', start, 'is longer than the curve')
  const algorithm = derSequence(derOid(OID.ecPublicKey), derOid(curve.oid))
  return derSequence(algorithm, derBitString(concatBytes(Uint8Array.of(4), x, y)))
}
