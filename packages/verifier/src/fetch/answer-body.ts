/** The whole body of an answer, up to a bound. */
import { concatBytes } from '../bytes/concat.ts'
import { EndorsementFetchError } from './fetch-error.ts'

/** @throws EndorsementFetchError `fetch.too-large`, `fetch.interrupted` */
export async function readBody(
  response: Response,
  maxBytes: number,
  url: string,
): Promise<Uint8Array<ArrayBuffer>> {
  const tooLarge = () =>
    new EndorsementFetchError('fetch.too-large', { url, problem: `more than ${maxBytes} bytes` })
  const { body } = response
  if (body === null) return new Uint8Array()
  const announced = Number(response.headers.get('content-length') ?? 0)
  const reader = body.getReader()
  const parts: Uint8Array[] = []
  let length = 0
  try {
    if (announced > maxBytes) throw tooLarge()
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return concatBytes(...parts)
      length += value.length
      if (length > maxBytes) throw tooLarge()
      parts.push(value)
    }
  } catch (error) {
    void reader.cancel().catch(() => undefined)
    if (error instanceof EndorsementFetchError || isAbort(error)) throw error
    throw new EndorsementFetchError('fetch.interrupted', { url, cause: error })
  }
}

function isAbort(error: unknown): boolean {
  return (
    error instanceof DOMException && (error.name === 'AbortError' || error.name === 'TimeoutError')
  )
}
