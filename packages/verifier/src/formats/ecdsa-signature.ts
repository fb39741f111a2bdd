/** ECDSA signatures: from `SEQUENCE { r, s }` of X.509 to r ‖ s of fixed size (IEEE P1363) of our crypto interface. */
import { readSequence } from './der-reader.ts'
import type { DerReader } from './der-reader.ts'

/**
 * @param size - bytes of r and of s: 32 for P-256, 48 for P-384, 66 for P-521
 * @throws FormatError when malformed, negative or too long
 */
export function ecdsaToP1363(signature: Uint8Array, size: number): Uint8Array {
  const reader = readSequence('ECDSA signature', signature)
  const whole = new Uint8Array(size * 2)
  putScalar(reader, 'r', whole, size, size)
  putScalar(reader, 's', whole, size * 2, size)
  reader.end()
  return whole
}

/** Written digit by digit: before a check that takes 60 µs, views and iterators would show. */
function putScalar(reader: DerReader, field: string, into: Uint8Array, end: number, size: number) {
  const value = reader.integer(field)
  if ((value[0] as number) >= 0x80) reader.fail(field, 'negative')
  const start = value[0] === 0 ? 1 : 0
  const length = value.length - start
  if (length > size) reader.fail(field, 'too long')
  for (let at = 0; at < length; at++) into[end - length + at] = value[start + at] as number
}
