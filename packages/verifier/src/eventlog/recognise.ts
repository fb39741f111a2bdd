/** An event log in whatever form somebody saved it: raw or base64. */
import { fromBase64 } from '../bytes/base64.ts'
import { FormatError } from '../bytes/format-error.ts'
import { fromUtf8 } from '../bytes/text.ts'

/** Logs are binary, so that one byte that is no base64 tells. */
export function recogniseLog(input: Uint8Array): Uint8Array {
  if (input.some((byte) => byte < 0x0a || byte > 0x7a)) return input
  try {
    return fromBase64(fromUtf8('event log', 'text', input).replaceAll(/[\r\n]+/g, ''))
  } catch (error) {
    if (error instanceof FormatError) return input
    throw error
  }
}
