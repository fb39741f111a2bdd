/** OBJECT IDENTIFIERs as dotted text. */
import { RecentTexts } from '../bytes/recent-texts.ts'

const MAX_BYTES = 64
const recent = new RecentTexts()

/** The contents `bytes[start..end]` of an OBJECT IDENTIFIER; undefined when malformed or an arc exceeds 2^31. */
export function oidText(bytes: Uint8Array, start: number, end: number): string | undefined {
  const length = end - start
  if (length === 0 || length > MAX_BYTES) return undefined
  return recent.get(bytes, start, end, writeText)
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
