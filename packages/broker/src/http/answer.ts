/** An answer in one write, by Node's own server. */
import type { ServerResponse } from 'node:http'

export interface Answer {
  readonly status: number
  /** Absent: an empty answer. */
  readonly content?: { readonly type: string; readonly text: string }
  /** Absent: sets no cookie. */
  readonly cookie?: string
}

export function json(value: object, status = 200, type = 'application/json'): Answer {
  return { status, content: { type, text: JSON.stringify(value) } }
}

export function send(outgoing: ServerResponse, { status, content, cookie }: Answer): void {
  const headers: string[] = []
  if (content !== undefined) {
    const { type, text } = content
    headers.push('content-type', type, 'content-length', String(Buffer.byteLength(text)))
  }
  if (cookie !== undefined) headers.push('set-cookie', cookie)
  outgoing.writeHead(status, headers).end(content?.text)
}
