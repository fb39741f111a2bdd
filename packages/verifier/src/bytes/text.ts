import { FormatError } from './format-error.ts'
import { RecentTexts } from './recent-texts.ts'

const ENCODER = new TextEncoder()
const DECODER = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const recent = new RecentTexts()

export function toUtf8(text: string): Uint8Array<ArrayBuffer> {
  return ENCODER.encode(text)
}

/** Without the NULs at its end. Not by a pattern: one that looks for them looks again from each NUL before, and a log may hold a million. */
export function withoutNuls(text: string): string {
  let end = text.length
  while (end > 0 && text.charCodeAt(end - 1) === 0) end--
  return text.slice(0, end)
}

/** @throws FormatError when the bytes are not UTF-8 */
export function fromUtf8(format: string, field: string, bytes: Uint8Array): string {
  try {
    return DECODER.decode(bytes)
  } catch {
    throw new FormatError(format, field, 0, 'not UTF-8')
  }
}

/** As {@link fromUtf8}, of `bytes[start..end]`: for names and other short texts that come again and again. @throws FormatError */
export function textAt(
  format: string,
  field: string,
  bytes: Uint8Array,
  start: number,
  end: number,
): string {
  return recent.get(bytes, start, end, () => fromUtf8(format, field, bytes.subarray(start, end)))
}
