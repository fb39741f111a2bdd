/** Request bodies: read whole, bounded by the declared length and by counting. */
import type { IncomingMessage } from 'node:http'
import { CloisterError } from '@cloister/protocol/error'
import { Shares } from '../shares.ts'
import { networkOf } from './network-of.ts'

/** Reads bodies, of which all that are under way share one bound: many slow peers must not fill the memory, nor keep others out. */
export class BodyReader {
  /** Bytes of the bodies under way, by address; each is named by what refuses it. */
  readonly #held: Shares<(error: CloisterError) => void>

  constructor(totalBytes: number) {
    this.#held = new Shares(totalBytes)
  }

  /**
   * @param limit - bytes
   * @throws CloisterError `broker.body-too-large`, `broker.busy`, or `request.malformed` when the peer breaks off
   */
  read(incoming: IncomingMessage, limit: number): Promise<Buffer> {
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
    const address = networkOf(incoming.socket.remoteAddress ?? '')
    const chunks: Buffer[] = []
    let size = 0
    const take = (chunk: Buffer) => {
      size += chunk.length
      chunks.push(chunk)
      if (size > limit) end(tooLarge(limit))
      else
        for (const refuse of this.#held.add(end, address, chunk.length))
          refuse(new CloisterError('broker.busy'))
    }
    const complete = () => {
      end()
    }
    const broken = (cause?: Error) => {
      end(new CloisterError('request.malformed', { why: 'the body ended early', cause }))
    }
    const end = (error?: CloisterError) => {
      // What still comes of a body that was refused flows to nobody; the bound on a request's time ends it.
      incoming.off('data', take).off('end', complete).off('close', broken)
      this.#held.remove(end)
      if (error !== undefined) reject(error)
      else resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, size))
    }
    // The error comes again as the end of the connection.
    incoming.on('error', ignore).on('close', broken).on('end', complete)
    if (Number(incoming.headers['content-length'] ?? 0) > limit) end(tooLarge(limit))
    else if (incoming.destroyed) broken()
    else incoming.on('data', take)
    return promise
  }
}

function ignore(): void {}

const utf8 = new TextDecoder('utf-8', { fatal: true })

/** @throws CloisterError `request.malformed` when it is not JSON in UTF-8 */
export function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(utf8.decode(body))
  } catch {
    // Without a cause: the parser's message quotes the body, which may hold a secret.
    throw new CloisterError('request.malformed', { why: 'the body is not JSON in UTF-8' })
  }
}

function tooLarge(limit: number): CloisterError {
  return new CloisterError('broker.body-too-large', { expected: `at most ${limit} bytes` })
}
