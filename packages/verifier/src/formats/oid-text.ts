/** OBJECT IDENTIFIERs as dotted text. The same few stand in every certificate, so those read last are not written out again. */
import { equalsRange } from '../bytes/equal.ts'

const MAX_BYTES = 64
const SLOTS = 256

interface Known {
  readonly bytes: Uint8Array
  readonly text: string
}

/** At the place of its last bytes; whatever else falls there takes its place. */
const lastRead: (Known | undefined)[] = Array.from({ length: SLOTS }, () => undefined)

/** The contents `bytes[start..end]` of an OBJECT IDENTIFIER; undefined when malformed or an arc exceeds 2^31. */
export function oidText(bytes: Uint8Array, start: number, end: number): string | undefined {
  const length = end - start
  if (length === 0 || length > MAX_BYTES) return undefined
  const slot = slotOf(bytes, end, length)
  const known = lastRead[slot]
  if (known !== undefined && equalsRange(bytes, start, end, known.bytes)) return known.text
  const text = writeText(bytes, start, end)
  if (text !== undefined) lastRead[slot] = { bytes: bytes.slice(start, end), text }
  return text
}

/** Of all that certificates of Intel's, AMD's and the standards' have, no two fall into one. */
function slotOf(bytes: Uint8Array, end: number, length: number): number {
  const last = bytes[end - 1] as number
  const second = length < 2 ? 0 : (bytes[end - 2] as number)
  const third = length < 3 ? 0 : (bytes[end - 3] as number)
  return (last + second * 29 + third * 17 + length * 7) % SLOTS
}

function writeText(bytes: Uint8Array, start: number, end: number): string | undefined {
  let text = ''
  let arc = 0
  let started = false
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number
    if (!started && byte === 0x80) return undefined
    if (arc > 0xffffff) return undefined
    arc = (arc << 7) | (byte & 0x7f)
    started = (byte & 0x80) !== 0
    if (started) continue
    // The first holds two: 40 times the root, which is 0 to 2, and the arc below it.
    if (text === '') {
      const root = Math.min(Math.floor(arc / 40), 2)
      text = `${root}.${arc - root * 40}`
    } else text += `.${arc}`
    arc = 0
  }
  return started ? undefined : text
}
