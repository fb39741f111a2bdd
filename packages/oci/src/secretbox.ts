/**
 * NaCl's secretbox, XSalsa20 and Poly1305 (D. J. Bernstein, "Cryptography in NaCl", sections 7 to 10), which Node does not have and cosign's key files use.
 * For small inputs at rest: Poly1305 with bigints is slow and not constant-time, so it must not meet a peer who can measure.
 */
import { timingSafeEqual } from 'node:crypto'

/** Bytes. */
export const SECRETBOX = { key: 32, nonce: 24, tag: 16 } as const
const BLOCK = 64
/** "expand 32-byte k" */
const SIGMA = [0x61707865, 0x3320646e, 0x79622d32, 0x6b206574] as const

/** The 16-byte tag, then the ciphertext. */
export function sealSecretbox(plaintext: Uint8Array, nonce: Uint8Array, key: Uint8Array): Buffer {
  const stream = xsalsa20(32 + plaintext.length, nonce, key)
  const ciphertext = xor(plaintext, stream.subarray(32))
  return Buffer.concat([poly1305(ciphertext, stream.subarray(0, 32)), ciphertext])
}

/** Absent: another key, or changed bytes. */
export function openSecretbox(
  box: Uint8Array,
  nonce: Uint8Array,
  key: Uint8Array,
): Buffer | undefined {
  if (box.length < SECRETBOX.tag) return undefined
  const ciphertext = box.subarray(SECRETBOX.tag)
  const stream = xsalsa20(32 + ciphertext.length, nonce, key)
  const tag = poly1305(ciphertext, stream.subarray(0, 32))
  if (!timingSafeEqual(tag, box.subarray(0, SECRETBOX.tag))) return undefined
  return xor(ciphertext, stream.subarray(32))
}

function xsalsa20(length: number, nonce: Uint8Array, key: Uint8Array): Buffer {
  if (nonce.length !== SECRETBOX.nonce || key.length !== SECRETBOX.key)
    throw new RangeError('a secretbox takes a key of 32 bytes and a nonce of 24')
  const subkey = hsalsa20(words(nonce.subarray(0, 16)), words(key))
  const [n0, n1] = words(nonce.subarray(16))
  const stream = Buffer.alloc(Math.ceil(length / BLOCK) * BLOCK)
  for (let block = 0; block * BLOCK < length; block++) {
    const input = salsaState(subkey, [n0!, n1!, block, 0])
    const output = salsaRounds(input)
    for (let index = 0; index < 16; index++)
      stream.writeUInt32LE((output[index]! + input[index]!) >>> 0, block * BLOCK + 4 * index)
  }
  return stream.subarray(0, length)
}

function hsalsa20(nonce: readonly number[], key: readonly number[]): number[] {
  const output = salsaRounds(salsaState(key, nonce))
  return [0, 5, 10, 15, 6, 7, 8, 9].map((index) => output[index]! >>> 0)
}

function salsaState(key: readonly number[], input: readonly number[]): Uint32Array {
  const [s0, s1, s2, s3] = SIGMA
  return Uint32Array.from([s0, ...key.slice(0, 4), s1, ...input, s2, ...key.slice(4), s3])
}

/** Indices of the quarter rounds: four on columns, four on rows. */
const QUARTERS = [
  [0, 4, 8, 12],
  [5, 9, 13, 1],
  [10, 14, 2, 6],
  [15, 3, 7, 11],
  [0, 1, 2, 3],
  [5, 6, 7, 4],
  [10, 11, 8, 9],
  [15, 12, 13, 14],
] as const

function salsaRounds(input: Uint32Array): Uint32Array {
  const x = Uint32Array.from(input)
  for (let round = 0; round < 10; round++)
    for (const [a, b, c, d] of QUARTERS) {
      x[b]! ^= rotate(x[a]! + x[d]!, 7)
      x[c]! ^= rotate(x[b]! + x[a]!, 9)
      x[d]! ^= rotate(x[c]! + x[b]!, 13)
      x[a]! ^= rotate(x[d]! + x[c]!, 18)
    }
  return x
}

function rotate(value: number, bits: number): number {
  return (value << bits) | ((value >>> 0) >>> (32 - bits))
}

/** RFC 8439, 2.5. */
function poly1305(message: Uint8Array, key: Uint8Array): Buffer {
  const prime = (1n << 130n) - 5n
  const r = littleEndian(key.subarray(0, 16)) & 0x0ffffffc0ffffffc0ffffffc0fffffffn
  let sum = 0n
  for (let offset = 0; offset < message.length; offset += 16) {
    const block = message.subarray(offset, offset + 16)
    sum = ((sum + littleEndian(block) + (1n << BigInt(8 * block.length))) * r) % prime
  }
  const tag = (sum + littleEndian(key.subarray(16, 32))) & ((1n << 128n) - 1n)
  return Buffer.from(tag.toString(16).padStart(32, '0'), 'hex').reverse()
}

function littleEndian(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`)
}

function words(bytes: Uint8Array): number[] {
  const buffer = Buffer.from(bytes)
  return Array.from({ length: buffer.length / 4 }, (_, index) => buffer.readUInt32LE(4 * index))
}

function xor(bytes: Uint8Array, stream: Uint8Array): Buffer {
  return Buffer.from(bytes.map((byte, index) => byte ^ stream[index]!))
}
