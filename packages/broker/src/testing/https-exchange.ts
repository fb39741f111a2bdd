/** Tests only: one HTTPS request to a broker whose certificate is given. */
import { request, type Agent } from 'node:https'

export interface Exchange {
  readonly method: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
}

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
}

/** @param agent - with the broker's certificate as its only CA */
export function exchange(url: string, agent: Agent, options: Exchange): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { method, headers = {}, body } = options
    const outgoing = request(url, { method, headers, agent }, (incoming) => {
      const chunks: Buffer[] = []
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
      incoming.once('error', reject)
      incoming.once('end', () => {
        const text = Buffer.concat(chunks).toString()
        resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, text })
      })
    })
    outgoing.once('error', reject)
    outgoing.end(body)
  })
}
