/** Reads members of hostile JSON, each with its type and bound. All throw FormatError. */
import { FormatError } from '../bytes/format-error.ts'

export function objectOf(
  format: string,
  field: string,
  value: unknown,
): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new FormatError(format, field, 0, 'not an object')
  return value as Record<string, unknown>
}

/** A member of the object itself, never of its prototype. */
export function fieldOf(
  format: string,
  json: Readonly<Record<string, unknown>>,
  field: string,
): unknown {
  if (!Object.hasOwn(json, field)) throw new FormatError(format, field, 0, 'is missing')
  return json[field]
}

export function listOf(
  format: string,
  field: string,
  value: unknown,
  limit: number,
): readonly unknown[] {
  if (!Array.isArray(value)) throw new FormatError(format, field, 0, 'not a list')
  if (value.length > limit) throw new FormatError(format, field, 0, `more than ${limit} entries`)
  return value
}

/** A whole number from 0 to the limit. */
export function numberOf(format: string, field: string, value: unknown, limit: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > limit)
    throw new FormatError(format, field, 0, `not a whole number up to ${limit}`)
  return value
}

/** Bytes as a list of numbers, or as `parseCompactJson` made of one. */
export function byteListOf(
  format: string,
  field: string,
  value: unknown,
  limit: number,
): Uint8Array<ArrayBuffer> {
  if (value instanceof Uint8Array) {
    if (value.length > limit) throw new FormatError(format, field, 0, `more than ${limit} entries`)
    return value as Uint8Array<ArrayBuffer>
  }
  const list = listOf(format, field, value, limit)
  const bytes = new Uint8Array(list.length)
  for (let index = 0; index < bytes.length; index++)
    bytes[index] = numberOf(format, field, list[index], 0xff)
  return bytes
}

/** An unsigned 64-bit word; a number above 2^53 has lost bits already, so only a bigint may be that large. */
export function wordOf(format: string, field: string, value: unknown): bigint {
  const word = typeof value === 'number' && Number.isSafeInteger(value) ? BigInt(value) : value
  if (typeof word !== 'bigint' || word < 0n || word > 0xffff_ffff_ffff_ffffn)
    throw new FormatError(format, field, 0, 'not an exact unsigned 64-bit number')
  return word
}

export function optionalOf<Given, Result>(
  value: Given | null | undefined,
  read: (value: Given) => Result,
): Result | undefined {
  return value === null || value === undefined ? undefined : read(value)
}
