/** What a hostile host asks of a guest whose initdata holds a policy in Rego: one that allows everything, and one that closes what the workload opens. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { HOST_REQUESTS } from '@cloister/cli/attacks/host-requests'
import type { GuestLink } from '@cloister/hostd/guest-link'
import { AgentService } from '@cloister/protocol/agent-service_pb'
import { TtrpcError } from '@cloister/protocol/ttrpc/status'
import { containerRequest, sandboxRequest } from '@cloister/protocol/workload-requests'
import { makeWorld, startGuest, type Guest, type World } from '../integration/guest-fixture.ts'

const { method } = AgentService
const ID = { containerId: 'demo', execId: 'demo' }
const RULES = [...new Set(AgentService.methods.map(({ input }) => input.name))]
const ALLOW_ALL = ['package agent_policy', 'AllowRequestsFailingPolicy := true']
  .concat([...RULES, 'SetPolicyRequest'].map((rule) => `default ${rule} := true`))
  .join('\n')
/** Starts what the workload names and no more; speaks of a word that the host must never see. */
const STRICT = `package agent_policy
CreateSandboxRequest { input.guest_hook_path == "" }
CreateContainerRequest { count(input.devices) == 0 }
StartContainerRequest { input.container_id == "demo" }
ExecProcessRequest { print("unspoken"); input.process.Args == ["unspoken"] }`

let world: World
before(async () => {
  world = await makeWorld()
})
after(() => world[Symbol.asyncDispose]())

async function startDemo({ client, workload }: Guest): Promise<void> {
  await client.call(method.createSandbox, sandboxRequest(workload))
  await client.call(method.createContainer, containerRequest(workload))
  await client.call(method.startContainer, { containerId: workload.container.id })
}

test('a policy that allows everything opens nothing that the workload does not', async () => {
  await using guest = await startGuest(world, { policy: ALLOW_ALL })
  await startDemo(guest)
  const link: Pick<GuestLink, 'call'> = guest.client
  for (const request of HOST_REQUESTS)
    await assert.rejects(
      request.send(link as GuestLink, guest.workload),
      (error: unknown) => error instanceof TtrpcError && error.message === request.expected,
      request.name,
    )
  assert.deepEqual(guest.runtime.calls, ['start demo'])
})

test('a policy closes what the workload opens, and tells the host nothing but a code', async () => {
  const hostPolicy = { readStdout: true, writeStdin: true, exec: true }
  await using guest = await startGuest(world, { policy: STRICT, workload: { hostPolicy } })
  const answers: Buffer[] = []
  guest.agentPort.on('data', (chunk: Buffer) => answers.push(chunk))
  await startDemo(guest)
  const { client } = guest
  guest.runtime.stdout.write('output')
  assert.equal((await client.call(method.readStdout, { ...ID, len: 99 })).data.length, 0)
  const refused = [
    client.call(method.execProcess, { ...ID, execId: 'spy', process: { Args: ['/bin/sh'] } }),
    client.call(method.writeStdin, { ...ID, data: Buffer.from('x') }),
    client.call(method.signalProcess, { ...ID, signal: 9 }),
    client.call(method.destroySandbox, {}),
  ]
  for (const call of refused)
    await assert.rejects(
      call,
      (error: unknown) => error instanceof TtrpcError && error.message === 'agent.request-denied',
    )
  assert.deepEqual(guest.runtime.calls, ['start demo'])
  // The guest itself knows why.
  assert.match(guest.console.join('\n'), /unspoken/)
  for (const word of ['unspoken', world.secret]) assert.ok(!Buffer.concat(answers).includes(word))
})
