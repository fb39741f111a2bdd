import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { duplexPair } from 'node:stream'
import { after, before, test } from 'node:test'
import { AgentService, Health } from '@cloister/protocol/agent-service_pb'
import { Guest as GuestService } from '@cloister/protocol/guest_pb'
import { fakePolicy } from '@cloister/broker/testing/test-broker'
import { CloisterError } from '@cloister/protocol/error'
import {
  encodeInitdata,
  encodeInitdataDisk,
  initdataDigest,
  initdataOf,
} from '@cloister/protocol/initdata'
import { openPortSession } from '@cloister/protocol/port-session'
import { isCode } from '@cloister/protocol/testing'
import { TtrpcClient } from '@cloister/protocol/ttrpc/client'
import { TTRPC_FRAMING } from '@cloister/protocol/ttrpc/frame'
import { TtrpcError } from '@cloister/protocol/ttrpc/status'
import { isVmWorkload, type VmWorkloadInput } from '@cloister/protocol/vm-workload'
import { parseSnpEvidenceJson } from '@cloister/verifier/snp/evidence-json'
import { parseSnpReport } from '@cloister/verifier/snp/report'
import { bindInitdata } from '@cloister/agent/initdata-binding'
import type { DiskSecrets } from '@cloister/agent/vm/sealed-disk'
import { runVmAgent, type HandOver } from '@cloister/agent/vm/vm-agent'
import { fakeAttester, hostStreams, makeWorld, type World } from './guest-fixture.ts'

const KEY = randomBytes(32)
const NEXT = randomBytes(32)
const SEALED = {
  kind: 'sealed',
  id: 'ab'.repeat(16),
  dataBytes: 1 << 30,
  source: 'cd'.repeat(32),
  key: 'vm-db/disk-key/current',
  nextKey: 'vm-db/disk-key/next',
  recoveryKey: 'vm-db/disk-key/recovery',
} as const
const SEED = 'vm-db/cloud-init/seed'

let world: World
let revision = 0
before(async () => {
  world = await makeWorld()
})
after(() => world[Symbol.asyncDispose]())

async function put(path: string, value: Uint8Array): Promise<void> {
  await world.broker.owner('PUT', `/secrets/${path}`, {
    value: Buffer.from(value).toString('base64'),
    allowSimulated: true,
    release: fakePolicy({ anchors: ['simulated'], workloads: [{ name: 'db' }] }),
  })
}

interface StartedVm extends AsyncDisposable {
  readonly ended: Promise<void>
  readonly stages: readonly string[]
  readonly handedOver: Promise<HandOver>
  readonly opened: readonly { secrets: DiskSecrets; copies: (string | undefined)[] }[]
  readonly client: TtrpcClient
  readonly document: Uint8Array
}

async function startVm(
  vm: VmWorkloadInput['vm'],
  options: { isRegistered?: boolean; openFails?: CloisterError } = {},
): Promise<StartedVm> {
  const { broker } = world.broker
  const document = encodeInitdata(
    initdataOf({
      version: 1,
      name: 'db',
      revision: ++revision,
      broker: { url: broker.url, spki: [broker.spki] },
      vm,
    }),
  )
  if (options.isRegistered !== false)
    await world.broker.owner('PUT', '/workloads/db', {
      initdata: Buffer.from(document).toString('base64'),
    })
  const attester = fakeAttester(world.amd, initdataDigest(document))
  const bound = await bindInitdata(encodeInitdataDisk(document), attester)
  assert.ok(isVmWorkload(bound.workload))
  const [agentPort, guestAgentPort] = duplexPair()
  const [netPort, guestNetPort] = duplexPair()
  const stages: string[] = []
  const opened: { secrets: DiskSecrets; copies: (string | undefined)[] }[] = []
  const handedOver = Promise.withResolvers<HandOver>()
  const ended = runVmAgent(
    {
      agentPort: guestAgentPort,
      netPort: guestNetPort,
      attester,
      clock: { now: Date.now, set: () => Promise.resolve() },
      epoch: 1_600_000_000,
      restPort: 17_000 + (process.pid % 1000) * 8 + revision,
      lastQuestionsMs: 100,
      onStage: (stage) => stages.push(stage),
      log: () => undefined,
      openSealed: async (_disk, secrets, onInstall) => {
        const { current, next, recovery } = secrets
        const copies = [current, next, recovery].map(
          (secret) => secret && Buffer.from(secret).toString('hex'),
        )
        opened.push({ secrets, copies })
        onInstall(0.3)
        if (options.openFails !== undefined) throw options.openFails
        return '/dev/mapper/opened'
      },
      partition: (number) => Promise.resolve(`/dev/vdx${number}`),
      handOver: async (order) => handedOver.resolve(order),
    },
    { ...bound, workload: bound.workload },
  )
  ended.catch((error: unknown) => handedOver.reject(error))
  handedOver.promise.catch(() => undefined)
  const mux = await hostStreams(world, netPort)
  const client = new TtrpcClient(await openPortSession(agentPort, TTRPC_FRAMING))
  return {
    ended,
    stages,
    handedOver: handedOver.promise,
    opened,
    client,
    document,
    async [Symbol.asyncDispose]() {
      guestAgentPort.destroy()
      guestNetPort.destroy()
      mux.close()
      client.close()
      await ended.catch(() => undefined)
    },
  }
}

test('a VM attests once, opens its disk with the released key, and hands over', async () => {
  await put(SEALED.key, KEY)
  await put(SEED, Buffer.from(JSON.stringify({ sshKeys: ['ssh-ed25519 AAAA me'] })))
  await using vm = await startVm({
    disk: SEALED,
    root: { fileSystem: 'ext4' },
    absentMounts: ['/boot/efi'],
    cloudInit: { seed: SEED },
  })
  const order = await vm.handedOver
  assert.equal(order.device, '/dev/mapper/opened')
  assert.deepEqual([order.fileSystem, order.options, order.init], ['ext4', 'ro', '/sbin/init'])
  assert.deepEqual(
    order.units.map(({ file }) => file),
    ['boot-efi.mount'],
  )
  assert.match(order.cloudConfig ?? '', /ssh-ed25519 AAAA me/)
  assert.deepEqual(vm.opened[0]?.copies, [KEY.toString('hex'), undefined, undefined])
  // What was released does not stay in memory longer than it is used.
  assert.ok(vm.opened[0].secrets.current.every((byte) => byte === 0))
  const status = await vm.client.call(GuestService.method.getStatus, {})
  assert.deepEqual([status.stage, status.attestations, status.errorCode], ['started', 1, ''])
  assert.deepEqual(vm.stages, [
    'attest',
    'attested',
    'keys',
    'install',
    'install-25',
    'ready',
    'started',
  ])
  await vm.client.call(Health.method.check, {})
  const nonce = randomBytes(32)
  const answer = await vm.client.call(GuestService.method.getEvidence, { nonce })
  const evidence = parseSnpEvidenceJson(Buffer.from(answer.evidenceJson).toString())
  const { hostData } = parseSnpReport(evidence.report)
  assert.deepEqual(Buffer.from(hostData), Buffer.from(initdataDigest(vm.document)))
  await assert.rejects(
    vm.client.call(AgentService.method.createSandbox, { sandboxId: 'x' }),
    (error) => error instanceof TtrpcError && error.message === 'agent.request-unknown',
  )
})

test('a VM gets the keys that are there only for a while', async () => {
  await put(SEALED.nextKey, NEXT)
  await put(SEALED.recoveryKey, Buffer.from('words'))
  await using vm = await startVm({ disk: SEALED, root: { fileSystem: 'ext4' } })
  await vm.handedOver
  assert.deepEqual(vm.opened[0]?.copies, [
    KEY.toString('hex'),
    NEXT.toString('hex'),
    Buffer.from('words').toString('hex'),
  ])
  for (const path of [SEALED.nextKey, SEALED.recoveryKey])
    await world.broker.owner('DELETE', `/secrets/${path}`)
})

test('a VM without an encrypted disk asks for no key', async () => {
  await using vm = await startVm({
    disk: { kind: 'plain', partition: 2 },
    root: { fileSystem: 'ext4' },
  })
  assert.equal((await vm.handedOver).device, '/dev/vdx2')
  assert.equal(vm.opened.length, 0)
})

test('a VM whose revision is not registered, or was withdrawn, gets no key and ends', async () => {
  await using unknown = await startVm(
    { disk: SEALED, root: { fileSystem: 'ext4' } },
    { isRegistered: false },
  )
  await assert.rejects(unknown.ended, isCode('agent.resource-refused'))
  assert.equal(unknown.opened.length, 0)
  await world.broker.owner('POST', '/workloads/db/withdraw', {})
  await using withdrawn = await startVm(
    { disk: SEALED, root: { fileSystem: 'ext4' } },
    { isRegistered: false },
  )
  await assert.rejects(withdrawn.ended, isCode('agent.resource-refused'))
})

test('a VM whose disk does not open ends with the reason, and nothing is handed over', async () => {
  await using vm = await startVm(
    { disk: SEALED, root: { fileSystem: 'ext4' } },
    { openFails: new CloisterError('agent.disk-label') },
  )
  await assert.rejects(vm.ended, isCode('agent.disk-label'))
  await assert.rejects(vm.handedOver, isCode('agent.disk-label'))
})
