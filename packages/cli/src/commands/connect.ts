import { createServer, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { HostdClient } from '@cloister/hostd/client'
import { CloisterError } from '@cloister/protocol/error'
import { textOption, type Command, type Invocation } from '../command.ts'
import { freePort } from '../free-port.ts'
import { openHostd } from '../hostd.ts'
import { appraiseWorkload, ownerReferences } from '../owner/appraise-workload.ts'
import { openBroker } from '../owner/broker-client.ts'
import { openChannel } from '../owner/channel.ts'
import type { TrustState } from '../owner/trust-state.ts'
import { paintTrust } from '../paint-trust.ts'
import { trustExit } from '../trust-exit.ts'
import { appraiseVm } from '../vm/appraise-vm.ts'
import { workloadOrVm } from '../vm/workload-or-vm.ts'

export const command: Command = {
  usage: 'connect NAME PORT [--listen PORT]',
  details:
    'Verifies the guest, then forwards connections to PORT inside it over TLS whose key stands in the verified report: the host carries\nbytes that it cannot read. NAME is a workload, or else a VM. Ends with Ctrl-C.',
  options: {
    listen: {
      type: 'string',
      value: 'PORT',
      help: 'local port; default the same as PORT, another when that is taken',
    },
  },
  positionals: [2, 2],
  async run(invocation) {
    const { positionals, output, signal } = invocation
    const [name = '', portText = ''] = positionals
    const guestPort = port(portText)
    const listenText = textOption(invocation, 'listen')
    const wanted = listenText === undefined ? undefined : port(listenText)
    const hostd = await openHostd(invocation)
    const { trust, channelKeyDigest, openCarrier } = await verified(name, hostd, invocation)
    const exit = trustExit(trust)
    if (exit !== 0 || channelKeyDigest === undefined)
      throw new CloisterError(exit === 2 ? 'trust.refused' : 'trust.undecided', {
        fix: [`cloister verify ${name}`],
      })
    const open = new Set<Socket>()
    const server = createServer((local) => {
      open.add(local)
      local.once('close', () => open.delete(local))
      void join(
        local,
        () => openChannel(openCarrier, channelKeyDigest, guestPort, { signal }),
        output.talk,
      )
    })
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    // The workload may publish the same port here already.
    const listenPort = wanted ?? (await freePort(guestPort))
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const where = `127.0.0.1:${listenPort}`
      const fix = [`cloister connect ${name} ${guestPort} --listen PORT`]
      reject(new CloisterError('host.port-taken', { where, fix, cause }))
    })
    server.listen(listenPort, '127.0.0.1', () => {
      output.talk(
        `127.0.0.1:${listenPort} leads to port ${guestPort} in ${name}, trust: ${paintTrust(trust, output.painter)}; Ctrl-C ends`,
      )
    })
    signal.addEventListener('abort', () => {
      resolve()
    })
    await promise
    server.close()
    for (const local of open) local.destroy()
  },
}

interface Verified {
  readonly trust: TrustState
  readonly channelKeyDigest?: string
  /** Bytes to the guest's channel, through the host. */
  readonly openCarrier: (signal: AbortSignal) => Promise<Duplex>
}

/** Of a workload, or else of the VM of that name. */
async function verified(
  name: string,
  hostd: HostdClient,
  { directories, signal }: Invocation,
): Promise<Verified> {
  const broker = openBroker(directories, signal)
  const references = () => ownerReferences(directories, broker)
  return await workloadOrVm<Verified>(
    async () => {
      const known = (await references())(name)
      const { verdict } = await appraiseWorkload(name, hostd, known, { signal })
      return { ...verdict, openCarrier: (until) => hostd.connect(name, { signal: until }) }
    },
    async () => ({
      ...(await appraiseVm(name, { hostd, broker: () => broker, references, signal })),
      openCarrier: (until) => hostd.vms.connect(name, { signal: until }),
    }),
  )
}

function port(text: string): number {
  const value = Number(text)
  if (/^\d{1,5}$/.test(text) && value >= 1 && value <= 65_535) return value
  throw new CloisterError('cli.usage', {
    why: 'this is no port',
    expected: '1 to 65535',
    received: text.slice(0, 20),
  })
}

type Remote = Awaited<ReturnType<typeof openChannel>>

/** Both directions until either side ends; a failure closes this connection and no other. */
async function join(
  local: Socket,
  open: () => Promise<Remote>,
  talk: (line: string) => void,
): Promise<void> {
  local.on('error', () => undefined)
  try {
    const remote = await open()
    remote.on('error', () => {
      local.destroy()
    })
    // A guest that is gone says no end: what came before is still given.
    remote.once('close', () => {
      local.destroySoon()
    })
    local.once('close', () => {
      remote.destroy()
    })
    local.pipe(remote).pipe(local)
  } catch (error) {
    const { code, message } = CloisterError.from(error)
    talk(`a connection failed: ${code}  ${message}`)
    local.destroy()
  }
}
