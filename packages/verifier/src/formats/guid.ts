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
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

function swap(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const swapped = new Uint8Array(ORDER.length)
  for (const [at, place] of ORDER.entries()) swapped[at] = bytes[place] as number
  return swapped
}
