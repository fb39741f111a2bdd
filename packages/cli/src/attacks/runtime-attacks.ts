/** Attacks on the running guest: the host speaks to its agent in place of hostd. */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { GuestLink } from '@cloister/hostd/guest-link'
import { SOCKETS } from '@cloister/launcher/vm-files'
import { AgentService } from '@cloister/protocol/agent-service_pb'
import { CloisterError } from '@cloister/protocol/error'
import type { Attack, Battlefield, Refusal } from './attack.ts'

const CALL_TIMEOUT_MS = 20_000

/** Takes hostd away (a port has one client), speaks to the agent, and lets hostd find its guests again. */
async function asHost(
  field: Battlefield,
  speak: (link: GuestLink, containerId: string) => Promise<unknown>,
): Promise<Refusal> {
  const hostd = await field.hostd()
  const { id } = await hostd.get(field.workload)
  await hostd.shutdown()
  const link = new GuestLink(join(field.directories.runtime, 'vm', id, SOCKETS.agent))
  try {
    await sleep(200)
    await speak(link, field.workload)
    return { code: undefined, by: 'guest' }
  } catch (error) {
    return { code: CloisterError.from(error).code, by: 'guest' }
  } finally {
    link.close()
    await field.hostd()
  }
}

const exec: Attack = {
  name: 'exec-in-guest',
  story: 'ask the running guest for a shell',
  expected: ['agent.request-denied'],
  attempt: async (field) =>
    await asHost(field, async (link, containerId) => {
      const input = { containerId, execId: 'shell', process: { Args: ['/bin/sh'], Cwd: '/' } }
      return await link.call(AgentService.method.execProcess, input, { timeoutMs: CALL_TIMEOUT_MS })
    }),
}

const otherContainer: Attack = {
  name: 'container-not-named',
  story: 'start a container that the initdata does not name',
  expected: ['agent.request-denied'],
  attempt: async (field) =>
    await asHost(field, async (link) => {
      const input = {
        containerId: 'spy',
        execId: 'spy',
        OCI: { Process: { Args: ['/bin/sh'], Cwd: '/' } },
      }
      return await link.call(AgentService.method.createContainer, input, {
        timeoutMs: CALL_TIMEOUT_MS,
      })
    }),
}

export const RUNTIME_ATTACKS: readonly Attack[] = [exec, otherContainer]
