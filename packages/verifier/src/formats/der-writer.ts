/** DER (ITU-T X.690) written from the inside out. */
import { concatBytes } from '../bytes/concat.ts'
import { fromHex } from '../bytes/hex.ts'
import { toUtf8 } from '../bytes/text.ts'
import { TAG, contextTag } from './der-reader.ts'

export function der(tag: number, ...contents: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const body = concatBytes(...contents)
  return concatBytes(Uint8Array.of(tag, ...lengthBytes(body.length)), body)
}

export function derSequence(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return der(TAG.sequence, ...parts)
}

/** @param elements - sorted here, as DER wants for SET OF */
export function derSetOf(...elements: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return der(TAG.set, ...[...elements].sort(compareBytes))
}

/** `[number] EXPLICIT`. */
export function derExplicit(
  number: number,
  ...parts: readonly Uint8Array[]
): Uint8Array<ArrayBuffer> {
  return der(contextTag(number, 'constructed'), ...parts)
}

/** @param value - a non-negative integer, or an unsigned big-endian one as bytes */
export function derInteger(value: number | bigint | Uint8Array): Uint8Array<ArrayBuffer> {
  if (typeof value !== 'object') {
    const digits = value.toString(16)
    return derInteger(fromHex(digits.length % 2 === 0 ? digits : `0${digits}`))
  }
  let start = 0
  while (start < value.length - 1 && value[start] === 0) start++
  const trimmed = value.subarray(start)
  const lead = (trimmed[0] ?? 0) >= 0x80 || trimmed.length === 0 ? [0] : []
  return der(TAG.integer, Uint8Array.from(lead), trimmed)
}

export function derOid(dotted: string): Uint8Array<ArrayBuffer> {
  const [first = 0, second = 0, ...others] = dotted.split('.').map(Number)
  const bytes = [first * 40 + second, ...others].flatMap(base128)
  return der(TAG.oid, Uint8Array.from(bytes))
}

export function derBoolean(value: boolean): Uint8Array<ArrayBuffer> {
  return der(TAG.boolean, Uint8Array.of(value ? 0xff : 0))
}

export function derNull(): Uint8Array<ArrayBuffer> {
  return der(TAG.null)
}

export function derOctetString(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return der(TAG.octetString, bytes)
}

/** A BIT STRING of whole bytes. */
export function derBitString(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return der(TAG.bitString, Uint8Array.of(0), bytes)
}

/** A BIT STRING of named bits (RFC 5280 KeyUsage): bit 0 first, trailing zero bits dropped. */
export function derNamedBits(bits: readonly number[]): Uint8Array<ArrayBuffer> {
  const highest = Math.max(-1, ...bits)
  const bytes = new Uint8Array(Math.ceil((highest + 1) / 8))
  for (const bit of bits) bytes[bit >> 3] = (bytes[bit >> 3] as number) | (0x80 >> (bit & 7))
  const unused = highest < 0 ? 0 : 7 - (highest & 7)
  return der(TAG.bitString, Uint8Array.of(unused), bytes)
}

export function derUtf8String(text: string): Uint8Array<ArrayBuffer> {
  return der(TAG.utf8String, toUtf8(text))
}

export function derPrintableString(text: string): Uint8Array<ArrayBuffer> {
  return der(TAG.printableString, toUtf8(text))
}

export function derIa5String(text: string): Uint8Array<ArrayBuffer> {
  return der(TAG.ia5String, toUtf8(text))
}

/** RFC 5280 section 4.1.2.5: UTCTime until 2049, GeneralizedTime from 2050; seconds, no fractions. */
export function derTime(time: Date): Uint8Array<ArrayBuffer> {
  const digits = time.toISOString().replaceAll(/[-:T]|\..*/g, '')
  const early = time.getUTCFullYear() < 2050
  return der(
    early ? TAG.utcTime : TAG.generalizedTime,
    toUtf8(`${early ? digits.slice(2) : digits}Z`),
  )
}

function lengthBytes(length: number): number[] {
  if (length < 0x80) return [length]
  const bytes: number[] = []
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256)
  return [0x80 | bytes.length, ...bytes]
}

function base128(arc: number): number[] {
  const bytes = [arc & 0x7f]
  for (let rest = Math.floor(arc / 128); rest > 0; rest = Math.floor(rest / 128))
    bytes.unshift((rest & 0x7f) | 0x80)
  return bytes
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const shared = Math.min(a.length, b.length)
  for (let index = 0; index < shared; index++) {
    const difference = (a[index] as number) - (b[index] as number)
    if (difference !== 0) return difference
  }
  return a.length - b.length
}
