import { existsSync } from 'node:fs'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CloisterError } from '@cloister/protocol/error'
import { encodeInitdata, initdataOf } from '@cloister/protocol/initdata'
import { MuxConnection } from '@cloister/protocol/mux/connection'
import { MUX_FRAMING } from '@cloister/protocol/mux/frame'
import { servePortSessions } from '@cloister/protocol/port-session'
import { isCode } from '@cloister/protocol/testing'
import { FakeMachine } from './fake-machine.ts'
import { makeImage } from './fake-parts.ts'
import {
  defineRequest,
  gathered,
  initdataBytes,
  startFixture,
  startRequest,
  type Fixture,
} from './fixture.ts'
import { greeter, type Greeter } from './greeter.ts'

async function eventsOf({ client }: Fixture, name = 'box'): Promise<string[]> {
  return (await gathered(client.vms.events(name))).map(({ type }) => type)
}

function folderOf({ home }: Fixture, id: string): string {
  return join(home, 'hostd', 'machines', id)
}

test('a machine is defined, started, stopped by its power button and removed', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  const { vms } = hostd.client
  const seed = {
    sshKeys: ['ssh-ed25519 AAAA me'],
    userData: Buffer.from('#!/bin/sh').toString('base64'),
  }
  const ports = [{ host: 18022, guest: 22 }]
  const defined = await vms.define(await defineRequest(hostd, { seed, ports, diskMiB: 4 }))
  assert.equal(defined.state, 'defined')
  assert.equal(defined.diskMiB, 4)
  assert.match(defined.mac, /^52:54:00:/)
  const folder = folderOf(hostd, defined.id)
  assert.equal((await stat(join(folder, 'disk.qcow2'))).size, 4 << 20)
  assert.equal(JSON.parse(await readFile(join(folder, 'variables.fd'), 'utf8')), 'microsoft')
  const made = JSON.parse(await readFile(join(folder, 'seed.img'), 'utf8')) as object
  assert.deepEqual(Object.keys(made).sort(), ['hostname', 'instanceId', 'sshKeys', 'userData'])

  const running = await vms.start('box')
  assert.equal(running.state, 'running')
  assert.equal(running.boots, 1)
  const { spec } = machine.only
  assert.deepEqual(spec.boot, {
    code: '/secure.fd',
    variables: join(folder, 'variables.fd'),
    secureBoot: true,
  })
  assert.deepEqual(spec.machine, {
    systemDisk: { path: join(folder, 'disk.qcow2'), format: 'qcow2' },
    seedDisk: { path: join(folder, 'seed.img') },
    vtpm: { stateDirectory: join(folder, 'tpm'), key: join(folder, 'tpm.key') },
    network: { kind: 'user' },
    hasConsole: true,
  })
  assert.equal(spec.scratchMiB, 0)
  assert.deepEqual(spec.ports, [{ hostAddress: '127.0.0.1', host: 18022, guest: 22 }])
  await assert.rejects(vms.remove('box'), isCode('vm.still-running'))
  assert.equal((await vms.start('box')).boots, 1, 'starting one that runs does nothing')

  await hostd.untilVm('box', ({ hasAgent }) => hasAgent)
  const stopped = await vms.stop('box')
  assert.equal(stopped.state, 'stopped')
  assert.match(stopped.why ?? '', /asked to shut down, and did/)
  assert.equal(stopped.pid, undefined)
  await vms.stop('box')
  assert.deepEqual(await eventsOf(hostd), [
    'defined',
    'starting',
    'running',
    'agent-answered',
    'stopping',
    'stopped',
  ])
  await vms.remove('box')
  assert.deepEqual(await vms.list(), [])
  assert.deepEqual(await readdir(join(hostd.home, 'hostd', 'machines')), [])
})

test('a machine is started again after each kind of end', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  const { vms } = hostd.client
  await vms.define(await defineRequest(hostd))
  const ends = [
    ['guest-shutdown', 'stopped'],
    ['killed', 'failed'],
    ['guest-panic', 'failed'],
    ['qemu-failed', 'failed'],
    ['unknown', 'failed'],
  ] as const
  for (const [reason, state] of ends) {
    await vms.start('box')
    await machine.only.end(reason, reason === 'killed' ? { signal: 'SIGKILL' } : {})
    const view = await hostd.untilVm('box', (vm) => vm.state === state)
    assert.equal(view.error?.code, state === 'failed' ? 'vm.died' : undefined, reason)
    assert.equal(view.pid, undefined)
    machine.guests.clear()
  }
  const { boots, error, why } = await vms.start('box')
  assert.deepEqual([boots, error, why], [6, undefined, undefined])
})

test('a guest that ignores the power button is ended, and at once by force', async () => {
  await using machine = new FakeMachine({ obeys: false })
  await using hostd = await startFixture(machine)
  const { vms } = hostd.client
  await vms.define(await defineRequest(hostd))
  await vms.start('box')
  const late = await vms.stop('box', { timeoutMs: 30 })
  assert.match(late.why ?? '', /in the time it had/)
  await vms.start('box')
  const waiting = vms.stop('box')
  await hostd.untilVm('box', ({ state }) => state === 'stopping')
  const forced = await vms.stop('box', { force: true })
  assert.match(forced.why ?? '', /at once/)
  assert.equal((await waiting).state, 'stopped')
})

test('a restart stops and starts; a guest of a TEE that resets is started anew', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  const { vms } = hostd.client
  await vms.define(await defineRequest(hostd))
  await vms.start('box')
  assert.equal((await vms.restart('box')).boots, 2)
  const [first] = machine.guests.values()
  await first?.end('guest-reset')
  const again = await hostd.untilVm('box', ({ boots, state }) => boots === 3 && state === 'running')
  assert.equal(again.error, undefined)
})

test('what a guest did while no hostd ran is done justice by the next one', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  const { vms } = hostd.client
  await vms.define(await defineRequest(hostd))
  await vms.start('box')
  await hostd.halt()
  await machine.only.end('guest-reset')
  await hostd.restart()
  const again = await hostd.untilVm('box', ({ boots, state }) => boots === 2 && state === 'running')
  assert.equal(again.error, undefined)
  // The second in a row waits, as it does where a hostd watches.
  await hostd.halt()
  await machine.only.end('guest-reset')
  await hostd.restart()
  const waiting = await hostd.untilVm('box', ({ state }) => state === 'failed')
  assert.ok(Date.parse(waiting.restartsAt ?? '') > Date.now())
  await vms.start('box')
  await hostd.halt()
  await machine.only.end('guest-shutdown')
  await hostd.restart()
  const off = await hostd.untilVm('box', ({ state }) => state === 'stopped')
  assert.match(off.why ?? '', /shut itself down/)
  await vms.start('box')
  await hostd.halt()
  await machine.only.end('guest-panic')
  await hostd.restart()
  const panicked = await hostd.untilVm('box', ({ state }) => state === 'failed')
  assert.deepEqual([panicked.error?.code, panicked.restartsAt], ['vm.died', undefined])
})

test('sizes change at rest, disks only grow, snapshots come and go', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  const { vms } = hostd.client
  const { id } = await vms.define(await defineRequest(hostd))
  const disk = join(folderOf(hostd, id), 'disk.qcow2')
  assert.deepEqual(
    (await vms.createSnapshot('box', 'fresh')).map(({ name }) => name),
    ['fresh'],
  )
  await assert.rejects(vms.createSnapshot('box', 'fresh'), isCode('snapshot.exists'))
  const larger = await vms.resize('box', { cpus: 2, memoryMiB: 512, diskMiB: 8 })
  assert.deepEqual([larger.cpus, larger.memoryMiB, larger.diskMiB], [2, 512, 8])
  assert.equal((await stat(disk)).size, 8 << 20)
  await assert.rejects(vms.resize('box', { diskMiB: 4 }), isCode('disk.shrink'))
  const restored = await vms.restoreSnapshot('box', 'fresh')
  assert.equal(restored.diskMiB, 1, 'a snapshot brings its size back')
  await vms.deleteSnapshot('box', 'fresh')
  await assert.rejects(vms.restoreSnapshot('box', 'fresh'), isCode('snapshot.not-found'))
  await vms.start('box')
  await assert.rejects(vms.resize('box', { cpus: 1 }), isCode('vm.still-running'))
  await assert.rejects(vms.createSnapshot('box', 'hot'), isCode('vm.still-running'))
  await assert.rejects(vms.restoreSnapshot('box', 'fresh'), isCode('vm.still-running'))
})

test('bad definitions are refused with a code and leave nothing', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  const { vms } = hostd.client
  const request = await defineRequest(hostd)
  const refused = (changes: object, code: Parameters<typeof isCode>[0]) =>
    assert.rejects(vms.define({ ...request, ...changes }), isCode(code))
  await refused({ name: '../etc' }, 'request.malformed')
  await refused({ image: { path: 'relative', name: 'x' } }, 'request.malformed')
  await refused({ image: { path: join(hostd.home, 'none'), name: 'x' } }, 'disk.not-found')
  await refused({ tee: 'snp' }, 'request.malformed')
  await refused({ tee: 'simulated' }, 'request.malformed')
  await refused({ vtpm: false }, 'request.malformed')
  const bridge = { kind: 'bridge', bridge: 'br0' }
  await refused({ network: bridge, ports: [{ host: 1, guest: 1 }] }, 'request.malformed')
  await refused({ network: { kind: 'bridge', bridge: 'a/b' } }, 'request.malformed')
  await refused({ seed: { sshKeys: ['two\nlines'] } }, 'request.malformed')
  await refused({ diskMiB: 0 }, 'request.malformed')
  await assert.rejects(vms.get('nobody'), isCode('vm.not-found'))
  await assert.rejects(vms.start('nobody'), isCode('vm.not-found'))
  await assert.rejects(vms.console('nobody'), isCode('vm.not-found'))
  assert.deepEqual(await readdir(join(hostd.home, 'hostd', 'machines')), [])
})

test('a part that cannot be made leaves nothing of the machine', async () => {
  for (const part of ['importDisk', 'writeVariables', 'manufactureVtpm', 'encodeSeed'] as const) {
    const fails = () => Promise.reject(new CloisterError('host.disk-full'))
    await using machine = new FakeMachine({ parts: { [part]: fails } })
    await using hostd = await startFixture(machine)
    const request = await defineRequest(hostd, { seed: {} })
    await assert.rejects(hostd.client.vms.define(request), isCode('host.disk-full'), part)
    assert.deepEqual(await readdir(join(hostd.home, 'hostd', 'machines')), [])
    assert.deepEqual(await hostd.client.vms.list(), [])
  }
})

test('a caller that goes away while the disk is copied leaves nothing', async () => {
  const begun = Promise.withResolvers<void>()
  const importDisk = (_from: string, _to: string, { signal }: { signal?: AbortSignal }) =>
    new Promise<never>((_resolve, reject) => {
      signal?.addEventListener('abort', () => reject(signal.reason as Error))
      begun.resolve()
    })
  await using machine = new FakeMachine({ parts: { importDisk } })
  await using hostd = await startFixture(machine)
  const caller = new AbortController()
  const defining = hostd.client.vms.define(await defineRequest(hostd), { signal: caller.signal })
  await begun.promise
  caller.abort(new Error('gone'))
  await assert.rejects(defining, /gone/)
  const folder = join(hostd.home, 'hostd', 'machines')
  while ((await readdir(folder)).length > 0) await sleep(5)
  assert.deepEqual(await hostd.client.vms.list(), [])
})

test('a start that the host cannot give is refused and changes nothing; one that QEMU refuses has failed', async () => {
  let refuses = true
  await using machine = new FakeMachine({
    beforeStart: () => {
      if (refuses) throw new CloisterError('qemu.start-failed', { received: 'no' })
    },
  })
  await using hostd = await startFixture(machine)
  const { vms } = hostd.client
  await vms.define(await defineRequest(hostd, { memoryMiB: 1 << 20 }))
  await assert.rejects(vms.start('box'), isCode('host.memory-insufficient'))
  assert.equal((await vms.get('box')).state, 'defined')
  await vms.resize('box', { memoryMiB: 256 })
  await assert.rejects(vms.start('box'), isCode('qemu.start-failed'))
  const view = await vms.get('box')
  assert.deepEqual([view.state, view.error?.code], ['failed', 'qemu.start-failed'])
  refuses = false
  assert.equal((await vms.start('box')).state, 'running')
})

test('a disk that has gone is said before anything starts', async () => {
  const parts = { inspectDisk: () => Promise.reject(new CloisterError('disk.not-found')) }
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  await hostd.client.vms.define(await defineRequest(hostd))
  await using other = new FakeMachine({ parts })
  await hostd.halt()
  Object.assign(machine.options, other.options)
  await hostd.restart()
  await assert.rejects(hostd.client.vms.start('box'), isCode('disk.not-found'))
  assert.equal((await hostd.client.vms.get('box')).state, 'defined')
})

test('workloads and machines share names, ports and quotas', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  const { client } = hostd
  const ports = [{ host: 18080, guest: 80 }]
  await client.start(startRequest({ name: 'web', ports }))
  await assert.rejects(
    client.vms.define(await defineRequest(hostd, { name: 'web' })),
    isCode('vm.name-taken'),
  )
  await client.vms.define(await defineRequest(hostd, { ports }))
  await assert.rejects(client.start(startRequest({ name: 'box' })), isCode('workload.name-taken'))
  await assert.rejects(client.stop('box'), /workload: it is a VM/)
  await assert.rejects(client.vms.start('box'), isCode('host.port-taken'))
  await client.stop('web', { force: true })
  await client.vms.start('box')
  const other = startRequest({ name: 'other', ports })
  await assert.rejects(client.start(other), isCode('host.port-taken'))

  const { used } = await client.setQuota({ cpus: 2, memoryMiB: 600, diskMiB: 3 })
  assert.deepEqual(used, { cpus: 1, memoryMiB: 256, diskMiB: 1 })
  await assert.rejects(
    client.start(startRequest({ name: 'more', cpus: 2 })),
    isCode('host.quota-exceeded'),
  )
  await assert.rejects(
    client.start(startRequest({ name: 'more', cpus: 1, memoryMiB: 512 })),
    isCode('host.quota-exceeded'),
  )
  const large = { path: await makeImage(hostd.home, 'large.raw', 4), name: 'large.raw' }
  await assert.rejects(
    client.vms.define(await defineRequest(hostd, { name: 'large', image: large })),
    isCode('host.quota-exceeded'),
  )
  await hostd.restart()
  assert.deepEqual((await client.quota()).limit, { cpus: 2, memoryMiB: 600, diskMiB: 3 })
  await client.vms.stop('box')
  await assert.rejects(client.vms.resize('box', { diskMiB: 9 }), isCode('host.quota-exceeded'))
  assert.equal((await client.vms.get('box')).diskMiB, 1)
})

test('an agent is asked once it has answered, and said to be absent before', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  const { vms } = hostd.client
  await vms.define(await defineRequest(hostd))
  await assert.rejects(vms.evidence('box', new Uint8Array(32)), isCode('vm.not-running'))
  await vms.start('box')
  await hostd.untilVm('box', ({ hasAgent }) => hasAgent)
  assert.equal((await vms.evidence('box', new Uint8Array(32))).evidenceJson, '{"nonce":32}')
  assert.equal((await vms.status('box')).token, 'ear')
  const stream = await vms.connect('box')
  stream.end('ping')
  for await (const chunk of stream) assert.equal(String(chunk), 'ping')
  assert.deepEqual(await vms.bootLog('box'), { source: 'memory', log: 'bG9n' })

  await using silent = new FakeMachine({ hasAgent: false })
  await using other = await startFixture(silent)
  await other.client.vms.define(await defineRequest(other))
  await other.client.vms.start('box')
  const nonce = new Uint8Array(32)
  await assert.rejects(other.client.vms.evidence('box', nonce), isCode('vm.no-agent'))
  await assert.rejects(other.client.vms.connect('box'), isCode('vm.no-agent'))
})

test('a measured boot gets the boot bundle, and exactly the initdata it was defined with', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  const { vms } = hostd.client
  const initdata = Buffer.from(initdataBytes())
  const measured = { guestImage: 'vm-box', initdata: initdata.toString('base64') }
  const view = await vms.define(
    await defineRequest(hostd, {
      tee: 'simulated',
      vtpm: false,
      integrityMonitoring: false,
      secureBoot: false,
      measured,
    }),
  )
  assert.deepEqual([view.boot, view.guestImage?.name], ['measured', 'vm-box'])
  assert.ok(!existsSync(join(folderOf(hostd, view.id), 'variables.fd')))
  await vms.start('box')
  const { spec } = machine.only
  assert.deepEqual(spec.boot, { kernel: '/k', initrd: '/i', root: '/r' })
  assert.equal(Buffer.from(spec.hostData).toString('hex'), view.initdataDigest)
  assert.equal(spec.commandLine, 's')
  machine.only.reach('initrd')
  await hostd.untilVm('box', ({ stages }) => stages.length === 1)
  await machine.only.end('guest-shutdown', { guestCode: 'initdata.malformed' })
  const { error } = await hostd.untilVm('box', ({ state }) => state === 'failed')
  assert.equal(error?.code, 'initdata.malformed')
})

test('an encrypted disk has the size that its guest can use beside that of the host, and keeps it', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  const { vms } = hostd.client
  const document = encodeInitdata(
    initdataOf({
      version: 1,
      name: 'box',
      revision: 1,
      broker: { url: 'https://broker.test', spki: ['00'.repeat(32)] },
      vm: {
        disk: {
          kind: 'sealed',
          id: 'ab'.repeat(16),
          dataBytes: 1 << 30,
          source: 'cd'.repeat(32),
          key: 'vm-box/disk-key/current',
          nextKey: 'vm-box/disk-key/next',
          recoveryKey: 'vm-box/disk-key/recovery',
        },
        root: { fileSystem: 'ext4' },
      },
    }),
  )
  const initdata = Buffer.from(document).toString('base64')
  const measured = { guestImage: 'vm-box', initdata }
  const shape = { vtpm: false, integrityMonitoring: false, secureBoot: false }
  const { diskMiB, guestDiskMiB } = await vms.define(
    await defineRequest(hostd, { ...shape, tee: 'simulated', measured }),
  )
  // Of 1 GiB, dm-integrity takes 9 MiB for tags, 8 for its journal, and 4 to spare.
  assert.equal(guestDiskMiB, 1003)
  assert.notEqual(diskMiB, guestDiskMiB)
  await assert.rejects(vms.resize('box', { diskMiB: 4096 }), isCode('vm.combination-unfit'))
  const resized = await vms.resize('box', { memoryMiB: 512 })
  assert.deepEqual([resized.diskMiB, resized.guestDiskMiB], [diskMiB, guestDiskMiB])
})

test('a baseline, integrity events and a memory dump are kept as they came', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  const { vms } = hostd.client
  await vms.define(await defineRequest(hostd))
  await assert.rejects(vms.baseline('box'), isCode('vm.baseline-unknown'))
  await vms.storeBaseline('box', { pcrs: { 4: 'aa' } })
  await vms.noteIntegrity('box', { type: 'integrity', why: 'PCR 4 changed', detail: { pcr: 4 } })
  await hostd.restart()
  assert.deepEqual(await vms.baseline('box'), { pcrs: { 4: 'aa' } })
  const [last] = (await gathered(vms.events('box'))).slice(-1)
  assert.deepEqual(
    [last?.type, last?.why, last?.detail],
    ['integrity', 'PCR 4 changed', { pcr: 4 }],
  )
  const detail = { text: 'x'.repeat(1 << 17) }
  await assert.rejects(
    vms.noteIntegrity('box', { type: 'integrity', detail }),
    isCode('request.malformed'),
  )
  await assert.rejects(vms.dumpMemory('box'), isCode('vm.not-running'))
  await vms.start('box')
  const dump = await vms.dumpMemory('box')
  assert.equal(dump.ranges[0]?.start, '0x10000000000')
  assert.equal(await readFile(dump.file, 'utf8'), 'ram')
  await hostd.restart()
  assert.ok(!existsSync(dump.file), 'nobody else would ever remove it')
})

test('a lost vTPM is told and does not end the machine', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  const { vms } = hostd.client
  await vms.define(await defineRequest(hostd))
  await vms.start('box')
  machine.only.loseVtpm()
  const view = await hostd.untilVm('box', ({ vtpmLostAt }) => vtpmLostAt !== undefined)
  assert.equal(view.state, 'running')
  assert.ok((await eventsOf(hostd)).includes('vtpm-lost'))
  await vms.restart('box')
  assert.equal((await vms.get('box')).vtpmLostAt, undefined)
})

test('a guest that stands still for want of space is told, and goes on when there is some', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  const { vms } = hostd.client
  await vms.define(await defineRequest(hostd))
  await vms.start('box')
  machine.only.findNoSpace()
  const full = await hostd.untilVm('box', ({ diskFullAt }) => diskFullAt !== undefined)
  assert.equal(full.state, 'running')
  await hostd.untilVm('box', ({ diskFullAt }) => diskFullAt === undefined)
  assert.equal(machine.only.resumes, 1)
  // Too early: now it is asked less often, but its owner may ask at once.
  machine.only.findNoSpace()
  await hostd.untilVm('box', ({ diskFullAt }) => diskFullAt !== undefined)
  assert.equal((await vms.start('box')).diskFullAt, undefined)
  assert.equal(machine.only.resumes, 2)
  machine.only.findNoSpace()
  await hostd.restart()
  await hostd.untilVm('box', ({ diskFullAt }) => diskFullAt !== undefined)
  const stopped = await vms.stop('box')
  assert.equal(stopped.diskFullAt, undefined)
  assert.match(stopped.why ?? '', /stood still/)
  const types = await eventsOf(hostd)
  // A hostd that takes up a QEMU lets it go on, too.
  assert.equal(types.filter((type) => type === 'resumed').length, 3)
})

test('a guest that restarts again and again is started ever later, and in the end no more', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  const { vms } = hostd.client
  const { id } = await vms.define(await defineRequest(hostd))
  await vms.start('box')
  await machine.only.end('guest-reset')
  await hostd.untilVm('box', ({ boots, state }) => boots === 2 && state === 'running')
  assert.equal((await vms.get('box')).restartsAt, undefined)
  await machine.only.end('guest-reset')
  const waiting = await hostd.untilVm('box', ({ state }) => state === 'failed')
  assert.ok(Date.parse(waiting.restartsAt ?? '') > Date.now())
  // Another hostd waits for the rest of the time, and its owner need not.
  await hostd.restart()
  assert.deepEqual(await vms.get('box'), waiting)
  const again = await vms.start('box')
  assert.deepEqual([again.boots, again.restartsAt], [3, undefined])
  await hostd.halt()
  const path = join(folderOf(hostd, id), 'record.json')
  const record = JSON.parse(await readFile(path, 'utf8')) as { restart?: object }
  assert.equal(record.restart, undefined)
  await writeFile(path, JSON.stringify({ ...record, restart: { inARow: 5 } }))
  await hostd.restart()
  await hostd.untilVm('box', ({ hasAgent }) => hasAgent)
  await machine.only.end('guest-reset')
  const { error, restartsAt } = await hostd.untilVm('box', ({ state }) => state === 'failed')
  assert.deepEqual([error?.code, restartsAt], ['vm.restart-loop', undefined])
  assert.ok((await eventsOf(hostd)).includes('restarting'))
})

test('a channel opens to the agent of now, where the one before was replaced without a word', async () => {
  let sessions = 0
  const netPort = (socket: Socket) =>
    servePortSessions(socket, MUX_FRAMING, (channel) => {
      // The first one is gone: what is sent to it nobody answers.
      if (sessions++ === 0) return
      const onStream = (stream: Duplex) => void stream.pipe(stream)
      void new MuxConnection(channel, { side: 'guest', accepts: () => true, onStream })
    })
  await using machine = new FakeMachine({ netPort })
  await using hostd = await startFixture(machine)
  const { vms } = hostd.client
  await vms.define(await defineRequest(hostd))
  await vms.start('box')
  await hostd.untilVm('box', ({ hasAgent }) => hasAgent)
  const channel = await vms.connect('box')
  channel.write('there')
  const [echo] = (await once(channel, 'data')) as [Buffer]
  assert.deepEqual([echo.toString(), sessions], ['there', 2])
  channel.destroy()
})

test('a start and a restart say where the streams of a VM lead from now on, also while it runs', async () => {
  await using oldPlace = await greeter('old')
  await using newPlace = await greeter('new')
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  const { vms } = hostd.client
  const at = ({ address }: Greeter) => ({ targets: { broker: { tcp: address } } })
  const heard = async () => {
    const { mux } = await hostd.untilVm('box', ({ hasAgent }) => hasAgent).then(() => machine.only)
    assert.ok(mux)
    const stream = await mux.open('broker')
    const [chunk] = (await once(stream, 'data')) as [Buffer]
    stream.destroy()
    return chunk.toString()
  }
  await vms.define(await defineRequest(hostd, at(oldPlace)))
  await vms.start('box')
  assert.equal(await heard(), 'old')
  await vms.start('box', at(newPlace))
  assert.equal(await heard(), 'new')
  // A start that says nothing leaves it there, and so does a name that the VM was not defined with.
  const strange = { targets: { ...at(oldPlace).targets, other: { tcp: oldPlace.address } } }
  await assert.rejects(vms.start('box', strange), isCode('vm.target-unknown'))
  await assert.rejects(vms.restart('box', strange), isCode('vm.target-unknown'))
  assert.equal((await vms.get('box')).state, 'running')
  assert.equal((await vms.start('box')).boots, 1)
  assert.equal(await heard(), 'new')
  await vms.restart('box', { force: true, ...at(oldPlace) })
  assert.equal(await heard(), 'old')
  await vms.stop('box', { force: true })
  await vms.start('box', at(newPlace))
  assert.equal(await heard(), 'new')
  const record = join(folderOf(hostd, (await vms.get('box')).id), 'record.json')
  const { targets } = JSON.parse(await readFile(record, 'utf8')) as { targets: unknown }
  assert.deepEqual(targets, at(newPlace).targets, 'the next hostd finds it too')
})

test('the history is bounded, however much is noted', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  const { vms } = hostd.client
  const { id } = await vms.define(await defineRequest(hostd))
  const detail = { text: 'x'.repeat(32 << 10) }
  for (let count = 0; count < 30; count++)
    await vms.noteIntegrity('box', { type: 'integrity', detail })
  const folder = join(folderOf(hostd, id), 'events')
  while ((await gathered(vms.events('box'))).length < 4) await sleep(5)
  // What is written last may still be on its way, and an older file gone meanwhile.
  const sizeOf = (name: string) =>
    stat(join(folder, name)).then(
      ({ size }) => size,
      () => 0,
    )
  const sizes = await Promise.all((await readdir(folder)).map(sizeOf))
  assert.ok(sizes.reduce((sum, size) => sum + size, 0) <= 256 << 10)
})

test('metrics and info count machines', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  await hostd.client.vms.define(await defineRequest(hostd))
  await hostd.client.vms.start('box')
  assert.deepEqual((await hostd.client.info()).vms, { live: 1, atRest: 0 })
})
