/** The dialogue of a launch under SEV in which the owner takes part, over hostd's socket; the firmware is played. */
import assert from 'node:assert/strict'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { SevSecret, VmSpec } from '@cloister/launcher/vm-spec'
import type { DefineVmRequestInput } from '@cloister/protocol/hostd-vm-api'
import { isCode } from '@cloister/protocol/testing'
import { OwnerLaunch } from '../src/machines/owner-launch.ts'
import { FakeMachine } from './fake-machine.ts'
import { defineRequest, gathered, startFixture, type Fixture } from './fixture.ts'

const base64 = (length: number, fill: number) => Buffer.alloc(length, fill).toString('base64')
const OWNER = { certificate: base64(2084, 1), session: base64(128, 2) }
const LAUNCH = { measurement: base64(48, 3), api: { major: 0, minor: 24, build: 15 } }
const SECRET = { header: base64(52, 4), secret: base64(64, 5) }

/** A launcher whose firmware always measures the same. */
function sevMachine() {
  const seen: { spec?: VmSpec; secret?: SevSecret | undefined } = {}
  const machine = new FakeMachine({
    beforeStart: async (spec) => {
      seen.spec = spec
      seen.secret = await spec.sevSession?.releaseSecret(LAUNCH)
    },
  })
  return { machine, seen }
}

async function direct(
  hostd: Fixture,
  changes: Partial<DefineVmRequestInput> = {},
): Promise<DefineVmRequestInput> {
  const file = async (name: string) => {
    const path = join(hostd.home, name)
    await writeFile(path, `the ${name}`, { mode: 0o600 })
    return path
  }
  return await defineRequest(hostd, {
    tee: 'sev',
    secureBoot: false,
    vtpm: false,
    integrityMonitoring: false,
    direct: {
      firmware: await file('firmware'),
      kernel: await file('kernel'),
      initrd: await file('initrd'),
      commandLine: 'root=/dev/mapper/root',
    },
    ...changes,
  })
}

test('a measured launch stands still until its owner gives the secret', async () => {
  const { machine, seen } = sevMachine()
  await using _machine = machine
  await using hostd = await startFixture(machine)
  const { vms } = hostd.client
  const defined = await vms.define(await direct(hostd))
  assert.deepEqual([defined.boot, defined.hasSeed], ['direct', false])
  assert.deepEqual(await vms.launchWithOwner('box', OWNER), LAUNCH)
  assert.equal((await vms.get('box')).state, 'starting')
  await assert.rejects(vms.launchWithOwner('box', OWNER), isCode('vm.still-running'))
  assert.equal((await vms.giveSecret('box', SECRET)).state, 'running')
  assert.deepEqual(seen.secret, SECRET)
  const { certificate, session } = seen.spec?.sevSession ?? {}
  assert.deepEqual({ certificate, session }, OWNER)
  const folder = join(hostd.home, 'hostd/machines', defined.id)
  const boot = {
    firmware: join(folder, 'firmware.fd'),
    kernel: join(folder, 'vmlinuz'),
    initrd: join(folder, 'initrd'),
  }
  assert.deepEqual(seen.spec?.boot, boot)
  assert.equal(seen.spec?.commandLine, 'root=/dev/mapper/root')
  assert.equal(await readFile(boot.kernel, 'utf8'), 'the kernel')
  // QEMU, which opens it again, has a uid of its own.
  assert.equal((await stat(boot.kernel)).mode & 0o777, 0o644)
  await assert.rejects(vms.giveSecret('box', SECRET), isCode('vm.launch-not-awaited'))
})

test('a launch that its owner refuses, or that is stopped, leaves nothing that runs', async () => {
  const { machine, seen } = sevMachine()
  await using _machine = machine
  await using hostd = await startFixture(machine)
  const { vms } = hostd.client
  await vms.define(await direct(hostd))
  for (const end of [vms.refuseLaunch.bind(vms), vms.stop.bind(vms)] as const) {
    await vms.launchWithOwner('box', OWNER)
    await end('box')
    const ended = await vms.get('box')
    assert.deepEqual([ended.state, ended.error?.code], ['failed', 'vm.launch-refused'])
    assert.equal(machine.guests.size, 0)
    assert.equal(seen.secret, undefined)
  }
  await assert.rejects(vms.refuseLaunch('box'), isCode('vm.launch-not-awaited'))
})

test('an owner who goes away before the measurement came leaves no launch that stands', async () => {
  const measuring = Promise.withResolvers<void>()
  const measured = Promise.withResolvers<void>()
  await using machine = new FakeMachine({
    beforeStart: async (spec) => {
      measuring.resolve()
      await measured.promise
      await spec.sevSession?.releaseSecret(LAUNCH)
    },
  })
  await using hostd = await startFixture(machine)
  const { vms } = hostd.client
  await vms.define(await direct(hostd))
  const owner = new AbortController()
  const launching = vms.launchWithOwner('box', OWNER, { signal: owner.signal })
  await measuring.promise
  owner.abort()
  await assert.rejects(launching)
  // Whether hostd hears of it before or after the measurement.
  measured.resolve()
  const { error } = await hostd.untilVm('box', ({ state }) => state === 'failed')
  assert.equal(error?.code, 'vm.launch-refused')
  assert.equal(machine.guests.size, 0)
  // Waits until nothing of it is left, where there still is.
  await vms.refuseLaunch('box').catch(() => undefined)
  // One who has the measurement has the launch, though the call that brought it is over.
  const next = await vms.launchWithOwner('box', OWNER)
  assert.deepEqual(next, LAUNCH)
  assert.equal((await vms.giveSecret('box', SECRET)).state, 'running')
})

test('hostd that ends while the owner is asked leaves a machine that failed', async () => {
  const { machine } = sevMachine()
  await using _machine = machine
  await using hostd = await startFixture(machine)
  const { vms } = hostd.client
  await vms.define(await direct(hostd))
  await vms.launchWithOwner('box', OWNER)
  await hostd.restart()
  const found = await vms.get('box')
  assert.equal(found.state, 'failed')
  assert.deepEqual((await gathered(vms.events('box'))).at(-1)?.type, 'failed')
})

test('an owner who does not answer is not waited for', async () => {
  const launch = new OwnerLaunch(OWNER, 10)
  const started = Promise.resolve(launch.session.releaseSecret(LAUNCH)).then(() => undefined)
  assert.deepEqual(await launch.measured(started, AbortSignal.timeout(60_000)), LAUNCH)
  await assert.rejects(started, isCode('vm.launch-unanswered'))
  await assert.rejects(launch.answer(SECRET), isCode('vm.launch-unanswered'))
})

test('what fails before the measurement reaches its owner', async () => {
  const { machine } = sevMachine()
  await using _machine = machine
  await using hostd = await startFixture(machine)
  const { vms } = hostd.client
  await vms.define(await defineRequest(hostd))
  await assert.rejects(vms.launchWithOwner('box', OWNER), isCode('vm.combination-unfit'))
  await assert.rejects(vms.launchWithOwner('none', OWNER), isCode('vm.not-found'))
  const short = { ...OWNER, session: base64(127, 0) }
  await assert.rejects(vms.launchWithOwner('box', short), isCode('request.malformed'))
  for (const changes of [{ tee: 'none' }, { vtpm: true }, { secureBoot: true }] as const)
    await assert.rejects(
      vms.define(await direct(hostd, { name: 'other', ...changes })),
      isCode('request.malformed'),
    )
})
