/** Reads a request's body whole, bounded by the declared length and by counting. */
import type { IncomingMessage } from 'node:http'
import { CloisterError } from '@cloister/protocol/error'

/**
 * @param limit - bytes
 * @throws CloisterError `broker.body-too-large`, or `request.malformed` when the peer breaks off
 */
export async function readBody(incoming: IncomingMessage, limit: number): Promise<Buffer> {
  const declared = Number(incoming.headers['content-length'] ?? 0)
  if (declared > limit) throw tooLarge(limit)
  const chunks: Buffer[] = []
  let size = 0
  try {
    for await (const chunk of incoming as AsyncIterable<Buffer>) {
      size += chunk.length
      if (size > limit) throw tooLarge(limit)
      chunks.push(chunk)
    }
  } catch (error) {
    if (error instanceof CloisterError) throw error
    throw new CloisterError('request.malformed', { why: 'the body ended early', cause: error })
  }
  return chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, size)
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
