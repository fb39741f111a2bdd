/**
 * A read-only registry for one OCI layout (distribution-spec 1.1, "pull"): manifests by tag or digest, blobs with ranges, GET and HEAD. Any repository
 * name is served, and cosign's signature tags are tags like others. The guest that pulls checks every byte, so there is nothing to protect but the
 * host's files: only blobs and tags of the layout can be named.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { pipeline } from 'node:stream/promises'
import { CloisterError } from '@cloister/protocol/error'
import { isDigest, sha256Digest } from './digest.ts'
import { Layout } from './layout.ts'
import { isIndexDocument } from './manifest.ts'
import { MEDIA_TYPES } from './media-types.ts'

const ROUTE = /^\/v2\/[a-z0-9._/-]{1,255}\/(manifests|blobs)\/([^/]{1,255})$/

/** @param directory a layout; read anew at each request, so it may gain tags */
export function serveLayout(
  directory: string,
): (request: IncomingMessage, response: ServerResponse) => void {
  const layout = new Layout(directory)
  return (request, response) => {
    answer(layout, request, response).catch((error: unknown) => {
      if (response.headersSent) response.destroy()
      else refuse(response, statusFor(error))
    })
  }
}

async function answer(
  layout: Layout,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  request.resume()
  const { method = 'GET' } = request
  if (method !== 'GET' && method !== 'HEAD') return refuse(response, 405)
  const path = (request.url ?? '').split('?')[0]!
  if (path === '/v2/' || path === '/v2')
    return sendBytes(response, method, Buffer.from('{}'), 'application/json')
  const [, kind, reference] = ROUTE.exec(path) ?? []
  if (kind === undefined || reference === undefined) return refuse(response, 404)
  return kind === 'manifests'
    ? sendManifest(layout, reference, method, response)
    : sendBlob(layout, reference, request, response)
}

async function sendManifest(
  layout: Layout,
  reference: string,
  method: string,
  response: ServerResponse,
): Promise<void> {
  const bytes = await layout.document(reference)
  if (bytes === undefined) return refuse(response, 404)
  response.setHeader('docker-content-digest', sha256Digest(bytes))
  return sendBytes(response, method, bytes, mediaTypeOf(bytes))
}

async function sendBlob(
  layout: Layout,
  digest: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const file = isDigest(digest) ? await layout.openBlob(digest) : undefined
  if (file === undefined) return refuse(response, 404)
  await using _ = file
  const { size } = await file.stat()
  const range = parseRange(request.headers.range, size)
  if (range === undefined) {
    response.setHeader('content-range', `bytes */${size}`)
    return refuse(response, 416)
  }
  const { start, end, isPartial } = range
  response.writeHead(isPartial ? 206 : 200, {
    'content-type': 'application/octet-stream',
    'content-length': end - start,
    'accept-ranges': 'bytes',
    'docker-content-digest': digest,
    ...(isPartial && { 'content-range': `bytes ${start}-${end - 1}/${size}` }),
  })
  if (request.method === 'HEAD' || end === start) response.end()
  else await pipeline(file.createReadStream({ start, end: end - 1, autoClose: false }), response)
}

/** Absent: a range that cannot be satisfied. `end` is exclusive. Several ranges are answered with the whole, as RFC 9110 permits. */
export function parseRange(
  header: string | undefined,
  size: number,
): { start: number; end: number; isPartial: boolean } | undefined {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? '')
  const [first, last] = [match?.[1] ?? '', match?.[2] ?? '']
  if (match === null || (first === '' && last === ''))
    return { start: 0, end: size, isPartial: false }
  const start = first === '' ? Math.max(size - Number(last), 0) : Number(first)
  const end = first === '' || last === '' ? size : Math.min(Number(last) + 1, size)
  return start < end ? { start, end, isPartial: true } : undefined
}

function mediaTypeOf(bytes: Uint8Array): string {
  const { mediaType } = JSON.parse(Buffer.from(bytes).toString('utf8')) as { mediaType?: unknown }
  if (typeof mediaType === 'string' && /^[\w.+/-]{1,255}$/.test(mediaType)) return mediaType
  return isIndexDocument(bytes) ? MEDIA_TYPES.ociIndex : MEDIA_TYPES.ociManifest
}

function sendBytes(
  response: ServerResponse,
  method: string,
  bytes: Uint8Array,
  type: string,
): void {
  response.writeHead(200, { 'content-type': type, 'content-length': bytes.length })
  response.end(method === 'HEAD' ? undefined : bytes)
}

const ERROR_CODES: Readonly<Record<number, string>> = {
  404: 'NOT_FOUND',
  405: 'UNSUPPORTED',
  416: 'RANGE_INVALID',
  500: 'UNKNOWN',
}

/** Nothing of the host's paths goes into an answer. */
function refuse(response: ServerResponse, status: number): void {
  const body = JSON.stringify({ errors: [{ code: ERROR_CODES[status] ?? 'UNKNOWN' }] })
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': body.length })
  response.end(response.req.method === 'HEAD' ? undefined : body)
}

function statusFor(error: unknown): number {
  return error instanceof CloisterError && error.code === 'image.not-found' ? 404 : 500
}
