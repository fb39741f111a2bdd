/** One HTTP exchange: bounded JSON in, JSON, NDJSON or an error object out. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { z } from 'zod'
import { CloisterError } from '@cloister/protocol/error'
import { HOSTD_LIMITS } from '@cloister/protocol/hostd-api'

/**
 * Reads and parses a JSON body; an empty one counts as `{}`.
 *
 * @throws CloisterError `request.malformed`
 */
export async function readJson<Schema extends z.ZodType>(
  request: IncomingMessage,
  schema: Schema,
): Promise<z.output<Schema>> {
  const declared = Number(request.headers['content-length'] ?? 0)
  if (declared > HOSTD_LIMITS.bodyBytes) throw tooLarge()
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > HOSTD_LIMITS.bodyBytes) throw tooLarge()
    chunks.push(chunk)
  }
  let value: unknown
  try {
    value = size === 0 ? {} : JSON.parse(Buffer.concat(chunks).toString('utf8'))
  } catch (cause) {
    throw new CloisterError('request.malformed', { why: 'the body is not JSON', cause })
  }
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  const where = issue?.path.map(String).join('.').slice(0, 100) ?? ''
  throw new CloisterError('request.malformed', {
    ...(where !== '' && { where }),
    why: issue?.message.slice(0, 200) ?? 'it does not have the documented shape',
  })
}

function tooLarge(): CloisterError {
  return new CloisterError('request.malformed', {
    why: `the body exceeds ${HOSTD_LIMITS.bodyBytes} bytes`,
  })
}

export function sendJson(response: ServerResponse, status: number, value: unknown): void {
  const body = JSON.stringify(value)
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
  })
  response.end(body)
}

export function sendError(response: ServerResponse, error: CloisterError): void {
  if (response.headersSent) {
    response.destroy()
    return
  }
  const object = error.toJSON()
  response.setHeader('connection', 'close')
  sendJson(response, object.status, object)
}

/** Sends lines at the reader's pace, until they end or it goes away. */
export async function sendLines(
  response: ServerResponse,
  lines: AsyncIterable<string>,
): Promise<void> {
  response.writeHead(200, { 'content-type': 'application/x-ndjson' })
  response.flushHeaders()
  for await (const line of lines) {
    if (response.destroyed) return
    if (!response.write(line)) await drained(response)
  }
  response.end()
}

function drained(response: ServerResponse): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const done = () => {
    response.off('drain', done)
    response.off('close', done)
    resolve()
  }
  response.on('drain', done)
  response.on('close', done)
  return promise
}

/** Fires when the client has gone away before its answer was complete. */
export function departure(response: ServerResponse): AbortSignal {
  const gone = new AbortController()
  response.once('close', () => {
    if (!response.writableFinished) gone.abort()
  })
  return gone.signal
}
