import { createServer } from 'node:net'

/** The preferred port of 127.0.0.1 when it is free, else any free one. */
export async function freePort(preferred: number): Promise<number> {
  return await listenOnce(preferred).catch(async () => await listenOnce(0))
}

async function listenOnce(port: number): Promise<number> {
  const server = createServer()
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  server.once('error', reject)
  server.listen(port, '127.0.0.1', () => {
    const address = server.address()
    const found = typeof address === 'object' && address !== null ? address.port : 0
    server.close(() => {
      resolve(found)
    })
  })
  return await promise
}
