/**
 * ID block and ID authentication information (AMD 56860, SNP_LAUNCH_FINISH): with them the firmware refuses to start a guest of
 * another launch digest or policy, and puts the digest of the ID key into reports.
 */
import { runtimeCrypto } from '#crypto'
import type { Signer } from '../formats/x509-issue.ts'
import { signatureFromP1363 } from './report-signature.ts'

const ID_BLOCK_SIZE = 96
const ID_AUTH_SIZE = 4096
const PUBLIC_KEY_SIZE = 1028
const COORDINATE = 48
const FIELD = 72
const CURVE_P384 = 2
const ECDSA_P384_SHA384 = 1

export interface IdBlock {
  /** 48 bytes. */
  readonly launchDigest: Uint8Array
  /** 16 bytes; absent means zero. */
  readonly familyId?: Uint8Array
  /** 16 bytes; absent means zero. */
  readonly imageId?: Uint8Array
  readonly guestSvn: number
  readonly policy: bigint
}

/** 96 bytes. */
export function encodeIdBlock(block: IdBlock): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(ID_BLOCK_SIZE)
  const view = new DataView(bytes.buffer)
  bytes.set(sized(block.launchDigest, 48), 0)
  bytes.set(sized(block.familyId ?? new Uint8Array(16), 16), 48)
  bytes.set(sized(block.imageId ?? new Uint8Array(16), 16), 64)
  view.setUint32(80, 1, true)
  view.setUint32(84, block.guestSvn, true)
  view.setBigUint64(88, block.policy, true)
  return bytes
}

/** A P-384 key: x and y of 48 bytes each, and what signs with it. */
export interface IdKey {
  readonly point: Uint8Array
  readonly signer: Signer
}

/** 4096 bytes. @param authorKey - signs the ID key; absent means no author key */
export function encodeIdAuth(
  block: Uint8Array,
  idKey: IdKey,
  authorKey?: IdKey,
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(ID_AUTH_SIZE)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, ECDSA_P384_SHA384, true)
  bytes.set(encodeSignature(idKey.signer.sign(block)), 0x40)
  const publicKey = encodePublicKey(idKey.point)
  bytes.set(publicKey, 0x240)
  if (authorKey === undefined) return bytes
  view.setUint32(4, ECDSA_P384_SHA384, true)
  bytes.set(encodeSignature(authorKey.signer.sign(publicKey)), 0x680)
  bytes.set(encodePublicKey(authorKey.point), 0x880)
  return bytes
}

/** The digest that a report carries for an ID or author key: SHA-384, 48 bytes. @param point - x ‖ y, 96 bytes */
export async function idKeyDigest(point: Uint8Array): Promise<Uint8Array> {
  return runtimeCrypto.digest('SHA-384', encodePublicKey(point))
}

/** 1028 bytes: curve, x and y little-endian in 72 bytes each, zeros. */
export function encodePublicKey(point: Uint8Array): Uint8Array<ArrayBuffer> {
  sized(point, 2 * COORDINATE)
  const bytes = new Uint8Array(PUBLIC_KEY_SIZE)
  bytes[0] = CURVE_P384
  for (const index of [0, 1]) {
    const start = 4 + index * FIELD
    bytes.set(point.subarray(index * COORDINATE, (index + 1) * COORDINATE), start)
    bytes.subarray(start, start + COORDINATE).reverse()
  }
  return bytes
}

/** r and s as in a report, 144 bytes of the 512. */
function encodeSignature(signature: Uint8Array): Uint8Array {
  const { r, s } = signatureFromP1363(signature)
  const bytes = new Uint8Array(2 * FIELD)
  bytes.set(r)
  bytes.set(s, FIELD)
  return bytes
}

function sized(bytes: Uint8Array, size: number): Uint8Array {
  if (bytes.length !== size) throw new RangeError(`${bytes.length} bytes, wanted ${size}`)
  return bytes
}
