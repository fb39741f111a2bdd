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
  const last = bytes[end - 1] as number
  const before = length === 1 ? 0 : (bytes[end - 2] as number)
  const slot = (last + before * 31 + length * 7) % SLOTS
  const known = lastRead[slot]
  if (known !== undefined && equalsRange(bytes, start, end, known.bytes)) return known.text
  const text = writeText(bytes, start, end)
  if (text !== undefined) lastRead[slot] = { bytes: bytes.slice(start, end), text }
  return text
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
