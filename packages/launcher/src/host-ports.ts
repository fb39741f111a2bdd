/** Whether the host ports that a VM publishes are free. QEMU would only fail with a sentence. */
import { createServer } from 'node:net'
import { CloisterError } from '@cloister/protocol/error'
import type { PublishedPort } from './vm-spec.ts'

/** @throws CloisterError `host.port-taken` naming the first port that cannot be listened on, or that is named twice */
export async function checkPorts(ports: readonly PublishedPort[]): Promise<void> {
  const seen = new Set<string>()
  for (const { hostAddress = '127.0.0.1', host } of ports) {
    const where = `${hostAddress}:${host}`
    if (seen.has(where))
      throw new CloisterError('host.port-taken', { where, why: 'it is named twice' })
    seen.add(where)
    const refusal = await listenBriefly(hostAddress, host)
    if (refusal !== undefined)
      throw new CloisterError('host.port-taken', { where, why: PORT_REFUSALS[refusal] ?? refusal })
  }
}

const PORT_REFUSALS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program listens on it',
  EACCES: 'this user may not listen on it',
  EADDRNOTAVAIL: 'this host has no such address',
}

/** The error code with which listening fails. Absent: it works. */
function listenBriefly(address: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    server.listen({ host: address, port, exclusive: true }, () =>
      server.close(() => resolve(undefined)),
    )
  })
}
