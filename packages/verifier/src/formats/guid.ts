/** GUIDs as firmware stores them: first three fields little-endian, the rest as written. */
import { fromHex, toHex } from '../bytes/hex.ts'

const ORDER = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15]

/** @param text - 8-4-4-4-12 digits */
export function guidToBytes(text: string): Uint8Array<ArrayBuffer> {
  return swap(fromHex(text.replaceAll('-', '')))
}

/** Lowercase text of 16 bytes. */
export function guidFromBytes(bytes: Uint8Array): string {
  const hex = toHex(swap(bytes))
  return [[0, 8], [8, 12], [12, 16], [16, 20], [20]].map((range) => hex.slice(...range)).join('-')
}

function swap(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(ORDER, (place) => bytes[place] as number)
}
