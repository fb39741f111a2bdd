/** Base64 in both alphabets, and hexadecimal. Decoding is strict: nothing that encoding would not make. */

const STANDARD = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
const URL_SAFE = `${STANDARD.slice(0, 62)}-_`

export interface Base64Form {
  readonly url: boolean
  /** Decoding: `optional` takes text with and without padding. */
  readonly padding: 'required' | 'none' | 'optional'
}

export function encodeBase64(bytes: Uint8Array, { url, padding }: Base64Form): string {
  const alphabet = url ? URL_SAFE : STANDARD
  let text = ''
  for (let at = 0; at < bytes.length; at += 3) {
    const left = bytes.length - at
    const group = ((bytes[at] ?? 0) << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0)
    text += alphabet.charAt(group >> 18) + alphabet.charAt((group >> 12) & 63)
    if (left > 1) text += alphabet.charAt((group >> 6) & 63)
    if (left > 2) text += alphabet.charAt(group & 63)
    if (padding !== 'none' && left < 3) text += '='.repeat(3 - left)
  }
  return text
}

/** Undefined when the text is not base64. Line ends are ignored, as Go does. */
export function decodeBase64(text: string, { url, padding }: Base64Form): Uint8Array | undefined {
  const clean = text.replace(/[\r\n]/g, '')
  const body = clean.replace(/={1,2}$/, '')
  const padded = body.length !== clean.length
  if (padding === 'none' && padded) return undefined
  if ((padding === 'required' || padded) && clean.length % 4 !== 0) return undefined
  if (body.length % 4 === 1) return undefined
  const alphabet = url ? URL_SAFE : STANDARD
  const bytes = new Uint8Array(Math.floor((body.length * 3) / 4))
  let bits = 0
  let held = 0
  let out = 0
  for (const char of body) {
    const digit = alphabet.indexOf(char)
    if (digit === -1) return undefined
    bits = ((bits << 6) | digit) & 0xffffff
    held += 6
    if (held >= 8) {
      held -= 8
      bytes[out++] = (bits >> held) & 0xff
    }
  }
  return bytes
}

export function encodeHex(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += byte.toString(16).padStart(2, '0')
  return text
}

export function decodeHex(text: string): Uint8Array | undefined {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) return undefined
  return Uint8Array.from({ length: text.length / 2 }, (_, at) =>
    Number.parseInt(text.slice(at * 2, at * 2 + 2), 16),
  )
}

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

export function utf8(text: string): Uint8Array {
  return encoder.encode(text)
}

/** Bytes that are no UTF-8 become U+FFFD. */
export function fromUtf8(bytes: Uint8Array): string {
  return decoder.decode(bytes)
}
