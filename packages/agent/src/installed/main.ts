/**
 * The program of the Debian package `cloister-agent`. It never ends the VM, needs no initdata, and runs without the host's port, without a broker,
 * and without anything to prove itself with; then it says so.
 */
import { connect, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { CloisterError } from '@cloister/protocol/error'
import { GUEST_PORTS } from '@cloister/protocol/guest-names'
import { findPorts } from '../guest/named-devices.ts'
import { openPort } from '../guest/port.ts'
import { readConfiguration } from './configuration.ts'
import { findAttester, type FoundAttester } from './find-attester.ts'
import { describe, InstalledAgent } from './installed-agent.ts'

const CONNECT_MS = 30_000
/** Between looks for the port: the host may give it later, and takes it away when the VM migrates. */
const PORT_MS = 5_000

const log = (message: string) => console.error(message)

async function connected(host: string, port: number): Promise<Socket> {
  const socket = connect(port, host)
  try {
    await once(socket, 'connect', { signal: AbortSignal.timeout(CONNECT_MS) })
    return socket
  } catch (cause) {
    socket.destroy()
    throw new CloisterError('agent.broker-unreachable', { where: `${host}:${port}`, cause })
  }
}

async function servePort(name: string, serve: (port: Duplex) => void): Promise<never> {
  for (;;) {
    const device = findPorts().devices.get(name)
    if (device !== undefined) {
      const port = openPort(device)
      port.on('error', (error) => log(`port ${name}: ${error.message}`))
      serve(port)
      log(`answering the host on ${name}`)
      await once(port, 'close')
    }
    await sleep(PORT_MS)
  }
}

/** Whoever asks is told why there is no evidence. */
function withoutProof(error: unknown): FoundAttester {
  log(`nothing to prove this VM with: ${describe(error)}`)
  const attest = async () => {
    throw error
  }
  return { attester: { tee: 'tpm', attest } }
}

async function main(): Promise<void> {
  const configuration = await readConfiguration()
  const found = await findAttester().catch(withoutProof)
  if (found.tpm !== undefined || found.attester.tee !== 'tpm')
    log(`proving this VM by ${found.attester.tee}`)
  const agent = new InstalledAgent({ configuration, found, connect: connected, log })
  await agent.serveResources()
  await Promise.all([
    agent.attest(),
    servePort(GUEST_PORTS.agent, (port) => agent.serveHost(port)),
    servePort(GUEST_PORTS.net, (port) => agent.serveStreams(port)),
  ])
}

try {
  await main()
} catch (error) {
  log(describe(error))
  process.exit(1)
}
