/** Request bodies: read whole, bounded by the declared length and by counting. */
import type { IncomingMessage } from 'node:http'
import { CloisterError } from '@cloister/protocol/error'

/** Reads bodies, of which all that are under way share one bound: many slow peers must not fill the memory. */
export class BodyReader {
  readonly #totalBytes: number
  #heldBytes = 0

  constructor(totalBytes: number) {
    this.#totalBytes = totalBytes
  }

  /**
   * @param limit - bytes
   * @throws CloisterError `broker.body-too-large`, `broker.busy`, or `request.malformed` when the peer breaks off
   */
  async read(incoming: IncomingMessage, limit: number): Promise<Buffer> {
    const declared = Number(incoming.headers['content-length'] ?? 0)
    if (declared > limit) throw tooLarge(limit)
    const chunks: Buffer[] = []
    let size = 0
    try {
      for await (const chunk of incoming as AsyncIterable<Buffer>) {
        size += chunk.length
        this.#heldBytes += chunk.length
        if (size > limit) throw tooLarge(limit)
        if (this.#heldBytes > this.#totalBytes) throw new CloisterError('broker.busy')
        chunks.push(chunk)
      }
    } catch (error) {
      if (error instanceof CloisterError) throw error
      throw new CloisterError('request.malformed', { why: 'the body ended early', cause: error })
    } finally {
      this.#heldBytes -= size
    }
    return chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, size)
  }
}

/** @throws CloisterError `request.malformed` when it is not JSON in UTF-8 */
export function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
  } catch {
    // Without a cause: the parser's message quotes the body, which may hold a secret.
    throw new CloisterError('request.malformed', { why: 'the body is not JSON in UTF-8' })
  }
}

function tooLarge(limit: number): CloisterError {
  return new CloisterError('broker.body-too-large', { expected: `at most ${limit} bytes` })
}
