/** A relay on loopback that keeps what passes, as anybody on the way can. */
import { appendFileSync } from 'node:fs'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo } from 'node:net'

export interface RecordingRelay extends AsyncDisposable {
  readonly port: number
}

/** @param file - gets the bytes of both directions */
export async function startRelay(target: number, file: string): Promise<RecordingRelay> {
  const server = createServer((near) => {
    const far = connect(target, '127.0.0.1')
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on('data', (chunk: Buffer) => {
        appendFileSync(file, chunk)
      })
      from.on('error', () => to.destroy())
      from.pipe(to)
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.close()
      await once(server, 'close')
    },
  }
}
