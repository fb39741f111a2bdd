/** An event log in whatever form somebody saved it: raw or base64. */
import { fromBase64Lines } from '../bytes/base64.ts'
import { FormatError } from '../bytes/format-error.ts'

/** Logs are binary, so that one byte that is no base64 tells. */
export function recogniseLog(input: Uint8Array): Uint8Array {
  if (input.some((byte) => byte < 0x0a || byte > 0x7a)) return input
  try {
    return fromBase64Lines(input)
  } catch (error) {
    if (error instanceof FormatError) return input
    throw error
  }
}
