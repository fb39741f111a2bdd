/**
 * The signature field of an SNP report: r and s as 72-byte little-endian integers (AMD 56860), against r ‖ s big-endian of
 * 48 bytes each (IEEE P1363) of the crypto interface.
 */
import { fromHex } from '../bytes/hex.ts'
import { isZero } from '../bytes/reader.ts'

const SCALAR_BYTES = 48
const FIELD_BYTES = 72

/** Order of P-384. */
const ORDER = fromHex(
  'ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973',
)

/**
 * The 96 bytes to verify, or undefined when r or s is zero, not below the order, or longer than 48 bytes. A reader that
 * drops the upper bytes in silence accepts altered reports.
 */
export function signatureToP1363({
  r,
  s,
}: {
  readonly r: Uint8Array
  readonly s: Uint8Array
}): Uint8Array | undefined {
  const whole = new Uint8Array(2 * SCALAR_BYTES)
  for (const [index, field] of [r, s].entries()) {
    if (!isZero(field.subarray(SCALAR_BYTES))) return undefined
    const scalar = whole.subarray(index * SCALAR_BYTES, (index + 1) * SCALAR_BYTES)
    scalar.set(field.subarray(0, SCALAR_BYTES))
    scalar.reverse()
    if (isZero(scalar) || !isBelow(scalar, ORDER)) return undefined
  }
  return whole
}

/** r and s as an SNP report holds them. @param signature - 96 bytes, IEEE P1363 */
export function signatureFromP1363(signature: Uint8Array): {
  r: Uint8Array<ArrayBuffer>
  s: Uint8Array<ArrayBuffer>
} {
  return {
    r: littleEndian(signature.subarray(0, SCALAR_BYTES)),
    s: littleEndian(signature.subarray(SCALAR_BYTES)),
  }
}

function littleEndian(scalar: Uint8Array): Uint8Array<ArrayBuffer> {
  const field = new Uint8Array(FIELD_BYTES)
  field.set(scalar)
  field.subarray(0, SCALAR_BYTES).reverse()
  return field
}

function isBelow(value: Uint8Array, limit: Uint8Array): boolean {
  for (const [index, byte] of value.entries()) {
    const other = limit[index] as number
    if (byte !== other) return byte < other
  }
  return false
}
