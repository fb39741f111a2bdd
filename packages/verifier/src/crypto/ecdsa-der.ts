/**
 * `SEQUENCE { r INTEGER, s INTEGER }` (RFC 3279 section 2.2.3) from r ‖ s of equal size (IEEE P1363). Written in one go: it stands
 * before every native ECDSA check, where the general DER writer would cost a tenth of a P-256 check.
 */
export function ecdsaToDer(signature: Uint8Array): Uint8Array<ArrayBuffer> {
  return ecdsaIntoDer(signature, new Uint8Array(signature.length + MAX_HEADS))
}

/**
 * As {@link ecdsaToDer}, for one that is used right away.
 *
 * @param der - {@link MAX_HEADS} bytes longer than the signature; the result is a view of its start
 */
export function ecdsaIntoDer<Memory extends ArrayBufferLike>(
  signature: Uint8Array,
  der: Uint8Array<Memory>,
): Uint8Array<Memory> {
  const size = signature.length / 2
  const r = integerOf(signature, 0, size)
  const s = integerOf(signature, size, signature.length)
  const length = r.length + s.length + 4
  let at = 0
  der[at++] = 0x30
  if (length >= 0x80) der[at++] = 0x81
  der[at++] = length
  at = put(signature, r, der, at)
  return der.subarray(0, put(signature, s, der, at))
}

/** The SEQUENCE has up to 3 bytes before it, each INTEGER 3 with the zero that keeps it positive. */
export const MAX_HEADS = 9

interface Integer {
  /** The first byte that is not zero, or the last. */
  readonly start: number
  readonly end: number
  /** With the zero byte that keeps it positive. */
  readonly length: number
}

function integerOf(signature: Uint8Array, from: number, end: number): Integer {
  let start = from
  while (start < end - 1 && signature[start] === 0) start++
  const lead = (signature[start] ?? 0) >= 0x80 ? 1 : 0
  return { start, end, length: end - start + lead }
}

/** @returns the offset after it */
function put(signature: Uint8Array, integer: Integer, der: Uint8Array, at: number): number {
  const { start, end, length } = integer
  der[at] = 0x02
  der[at + 1] = length
  der[at + 2] = 0
  const shift = at + 2 + length - end
  for (let index = start; index < end; index++) der[shift + index] = signature[index] as number
  return at + 2 + length
}
