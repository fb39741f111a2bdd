/** ECDSA signatures: from `SEQUENCE { r, s }` of X.509 to r ‖ s of fixed size (IEEE P1363) of our crypto interface. */
import { readSequence } from './der-reader.ts'

/**
 * @param size - bytes of r and of s: 32 for P-256, 48 for P-384, 66 for P-521
 * @throws FormatError when malformed, negative or too long
 */
export function ecdsaToP1363(signature: Uint8Array, size: number): Uint8Array {
  const reader = readSequence('ECDSA signature', signature)
  const whole = new Uint8Array(size * 2)
  for (const [field, end] of [
    ['r', size],
    ['s', size * 2],
  ] as const) {
    const value = reader.integer(field)
    if ((value[0] as number) >= 0x80) reader.fail(field, 'negative')
    const digits = value[0] === 0 ? value.subarray(1) : value
    if (digits.length > size) reader.fail(field, 'too long')
    whole.set(digits, end - digits.length)
  }
  reader.end()
  return whole
}
