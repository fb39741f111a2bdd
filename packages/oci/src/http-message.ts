/**
 * What the registry client needs of HTTP, as an interface: in the guest requests travel over multiplexed streams of a virtio-serial port, on
 * the host over sockets, in tests over nothing. A transport does not follow redirects, decode content or retry.
 */

export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH'
  /** http or https; a transport that cannot or may not reach the origin throws. */
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly body?: Uint8Array | AsyncIterable<Uint8Array>
  readonly signal?: AbortSignal | undefined
}

export interface HttpResponse {
  readonly status: number
  /** Lower-case names; a header that came more than once is joined by `, `. */
  readonly headers: Readonly<Record<string, string | undefined>>
  /** Must be read to its end or left by `return`, which closes the connection. */
  readonly body: AsyncIterable<Uint8Array>
}

export type HttpTransport = (request: HttpRequest) => Promise<HttpResponse>

/** Read of an unwanted body before the connection is given up instead of used again, bytes. */
const DISCARD_LIMIT = 64 * 1024

/** Ends a body that nobody wants. */
export async function discardBody(response: HttpResponse): Promise<void> {
  await boundedBody(response, DISCARD_LIMIT)
}

/** The whole body, at most `limit` bytes; absent when it is longer. */
export async function boundedBody(
  response: HttpResponse,
  limit: number,
): Promise<Uint8Array | undefined> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response.body) {
    size += chunk.length
    if (size > limit) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
