/**
 * The vendors' endorsement services on a loopback port, for tests: they serve what a test gives them under the documented paths, and misbehave on demand.
 * Node, tests only.
 */
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface ServedAnswer {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array | string
  /** Announces this many bytes more than are sent, and cuts the connection. */
  readonly missingBytes?: number
  /** Never answers. */
  readonly silent?: boolean
}

type Route = ServedAnswer | ((request: ServedRequest) => ServedAnswer | Promise<ServedAnswer>)

export interface ServedRequest {
  readonly method: string
  /** Path with its query. */
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly body: Uint8Array
}

export class FakeServices implements AsyncDisposable {
  readonly #server = createServer((request, response) => {
    void this.#serve(request, response)
  })
  readonly #routes: Map<string, Route>
  readonly requests: ServedRequest[] = []

  private constructor(routes: Readonly<Record<string, Route>>) {
    this.#routes = new Map(Object.entries(routes))
  }

  /** @param routes - by path with its query; everything else is 404 */
  static async start(routes: Readonly<Record<string, Route>>): Promise<FakeServices> {
    const services = new FakeServices(routes)
    const { promise, resolve } = Promise.withResolvers<void>()
    services.#server.listen(0, '127.0.0.1', resolve)
    await promise
    return services
  }

  get address(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  set(path: string, route: Route): void {
    this.#routes.set(path, route)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#server.close(() => {
      resolve()
    })
    this.#server.closeAllConnections()
    await promise
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = []
    for await (const part of request) parts.push(part as Buffer)
    const served: ServedRequest = {
      method: request.method ?? '',
      path: request.url ?? '',
      headers: request.headers,
      body: new Uint8Array(Buffer.concat(parts)),
    }
    this.requests.push(served)
    const route = this.#routes.get(served.path) ?? { status: 404 }
    const answer = typeof route === 'function' ? await route(served) : route
    if (answer.silent === true) return
    const body = Buffer.from(answer.body ?? '')
    const { missingBytes } = answer
    response.writeHead(answer.status ?? 200, {
      ...answer.headers,
      'content-length': body.length + (missingBytes ?? 0),
    })
    if (missingBytes === undefined) response.end(body)
    else
      response.write(body, () => {
        response.destroy()
      })
  }
}
