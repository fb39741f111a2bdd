/** JSON of hostile bytes or text: one place where the engine's own error becomes ours. */
import { FormatError } from '../bytes/format-error.ts'
import { fromUtf8 } from '../bytes/text.ts'

/** @param field - named by the error. @throws FormatError when it is not JSON, or the bytes are not UTF-8 */
export function parseJson(format: string, input: Uint8Array | string, field = 'text'): unknown {
  const text = typeof input === 'string' ? input : fromUtf8(format, field, input)
  try {
    return JSON.parse(text)
  } catch (error) {
    if (error instanceof SyntaxError) throw new FormatError(format, field, 0, 'not JSON')
    throw error
  }
}
