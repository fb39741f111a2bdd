/** Values of CBOR (RFC 8949) as our formats use it, and their encoding back to the same bytes. */
import { concatBytes } from '../bytes/concat.ts'
import { toUtf8 } from '../bytes/text.ts'

/** Keys of a map; a `bigint` only beyond 2^53. Other kinds of key are in none of our formats. */
export type CborKey = number | bigint | string

export type CborMap = ReadonlyMap<CborKey, CborItem>

export type CborItem =
  /** Unsigned or negative; a `bigint` only beyond 2^53. */
  | { readonly kind: 'int'; readonly value: number | bigint }
  | { readonly kind: 'bytes'; readonly value: Uint8Array }
  | { readonly kind: 'text'; readonly value: string }
  | { readonly kind: 'array'; readonly items: readonly CborItem[]; readonly indefinite: boolean }
  /** In the order of the input. */
  | { readonly kind: 'map'; readonly entries: CborMap; readonly indefinite: boolean }
  | { readonly kind: 'tag'; readonly tag: number; readonly item: CborItem }
  | { readonly kind: 'simple'; readonly value: boolean | null | undefined }

export const MAJOR = {
  unsigned: 0,
  negative: 1,
  bytes: 2,
  text: 3,
  array: 4,
  map: 5,
  tag: 6,
  simple: 7,
} as const

export const SIMPLE = { false: 20, true: 21, null: 22, undefined: 23 } as const
export const INDEFINITE = 31
export const BREAK = 0xff

/** Shortest heads; containers of indefinite length stay so. */
export function encodeCbor(item: CborItem): Uint8Array<ArrayBuffer> {
  switch (item.kind) {
    case 'int':
      return encodeInt(item.value)
    case 'bytes':
      return concatBytes(head(MAJOR.bytes, item.value.length), item.value)
    case 'text': {
      const text = toUtf8(item.value)
      return concatBytes(head(MAJOR.text, text.length), text)
    }
    case 'array':
      return container(MAJOR.array, item.items.length, item.items.map(encodeCbor), item.indefinite)
    case 'map': {
      const parts = [...item.entries].flatMap(([key, value]) => [encodeKey(key), encodeCbor(value)])
      return container(MAJOR.map, item.entries.size, parts, item.indefinite)
    }
    case 'tag':
      return concatBytes(head(MAJOR.tag, item.tag), encodeCbor(item.item))
    case 'simple':
      return head(MAJOR.simple, SIMPLE[String(item.value) as keyof typeof SIMPLE])
    default:
      return item satisfies never
  }
}

/** An array of definite length, for building structures to sign. */
export function cborArray(...items: readonly CborItem[]): CborItem {
  return { kind: 'array', items, indefinite: false }
}

export function cborBytes(value: Uint8Array): CborItem {
  return { kind: 'bytes', value }
}

export function cborText(value: string): CborItem {
  return { kind: 'text', value }
}

export function cborInt(value: number | bigint): CborItem {
  return { kind: 'int', value }
}

export function cborMap(entries: Iterable<readonly [CborKey, CborItem]>): CborItem {
  return { kind: 'map', entries: new Map(entries), indefinite: false }
}

function container(
  major: number,
  count: number,
  parts: readonly Uint8Array[],
  indefinite: boolean,
): Uint8Array<ArrayBuffer> {
  return indefinite
    ? concatBytes(Uint8Array.of((major << 5) | INDEFINITE), ...parts, Uint8Array.of(BREAK))
    : concatBytes(head(major, count), ...parts)
}

function encodeKey(key: CborKey): Uint8Array<ArrayBuffer> {
  return typeof key === 'string' ? encodeCbor(cborText(key)) : encodeInt(key)
}

function encodeInt(value: number | bigint): Uint8Array<ArrayBuffer> {
  return value < 0 ? head(MAJOR.negative, -1n - BigInt(value)) : head(MAJOR.unsigned, value)
}

function head(major: number, argument: number | bigint): Uint8Array<ArrayBuffer> {
  const first = major << 5
  if (argument < 24) return Uint8Array.of(first | Number(argument))
  const size = argument < 0x100 ? 0 : argument < 0x10000 ? 1 : argument < 0x1_0000_0000 ? 2 : 3
  const bytes = new Uint8Array(1 + (1 << size))
  bytes[0] = first | (24 + size)
  let rest = BigInt(argument)
  for (let index = bytes.length - 1; index > 0; index--) {
    bytes[index] = Number(rest & 0xffn)
    rest >>= 8n
  }
  return bytes
}
