/** Stands where a guest's streams lead. */
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'

export interface Greeter extends AsyncDisposable {
  /** `host:port` */
  readonly address: string
}

/** Says its word to whoever comes. */
export async function greeter(word: string): Promise<Greeter> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined).end(word)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    address: `127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      server.close()
      await once(server, 'close')
    },
  }
}
