/** Life and death of real guests under QEMU. */
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, chmod, copyFile, mkdir, readFile, stat } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { promisify } from 'node:util'
import { adoptVm } from '../src/adopt-vm.ts'
import { clearLeftovers } from '../src/leftovers.ts'
import { isAlive, killProcess, untilGone } from '../src/process-identity.ts'
import { startVm } from '../src/start-vm.ts'
import type { Vm, VmSpec, VmState } from '../src/vm-spec.ts'
import { describeGuest, findGuest, HANGING, type TestGuest } from './guest.ts'

const found = await findGuest()
const skip = typeof found === 'string' ? found : false
const guest = found as TestGuest

const options = { skip, timeout: 60_000 }

async function start(t: TestContext, change: Partial<VmSpec> = {}): Promise<Vm> {
  const vm = await startVm(await describeGuest(t, guest, change), guest.host)
  t.after(() => vm[Symbol.asyncDispose]())
  return vm
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

/** Neither process nor file is left. */
async function assertGone({ process, runtimeDirectory, stateDirectory }: VmState): Promise<void> {
  assert.equal(await isAlive(process), false, 'the process')
  assert.equal(await isThere(runtimeDirectory), false, 'the runtime directory')
  assert.equal(await isThere(stateDirectory), false, 'the state directory')
}

test(
  'a guest that powers off is reported with its last stage and leaves nothing',
  options,
  async (t) => {
    const vm = await start(t, { scratchMiB: 64, initdataDisk: new Uint8Array(512) })
    const stages: string[] = []
    vm.onStage(({ name }) => stages.push(name))
    const exit = await vm.exited
    assert.equal(exit.reason, 'guest-shutdown')
    assert.equal(exit.lastStage, 'initrd')
    assert.deepEqual(stages, ['initrd'])
    await assertGone(vm.state)
  },
)

test('a kernel that panics and resets is reported as a panic', options, async (t) => {
  const vm = await start(t, { commandLine: 'panic=-1 rdinit=/none' })
  const exit = await vm.exited
  assert.equal(exit.reason, 'guest-panic')
  assert.equal(exit.lastStage, undefined)
})

test('stop() ends a hanging guest: by quit, or by force', options, async (t) => {
  const obedient = await start(t, HANGING)
  assert.equal((await obedient.stop({ timeoutMs: 50 })).reason, 'stopped')
  await assertGone(obedient.state)
  const forced = await start(t, HANGING)
  assert.equal((await forced.stop({ force: true })).reason, 'stop-killed')
  await assertGone(forced.state)
  assert.equal((await forced.stop()).reason, 'stop-killed')
})

test('stop() kills a QEMU that does not run any more', options, async (t) => {
  const vm = await start(t, HANGING)
  process.kill(vm.state.process.pid, 'SIGSTOP')
  assert.equal((await vm.stop({ timeoutMs: 10 })).reason, 'stop-killed')
  await assertGone(vm.state)
})

test('a QEMU that somebody kills is reported and cleaned up', options, async (t) => {
  const vm = await start(t, HANGING)
  process.kill(vm.state.process.pid, 'SIGKILL')
  const exit = await vm.exited
  assert.equal(exit.reason, 'killed')
  assert.equal(exit.signal, 'SIGKILL')
  await assertGone(vm.state)
})

test('QEMU runs without privileges, sandboxed, in a session of its own', options, async (t) => {
  const { state } = await start(t, HANGING)
  const status = await readFile(`/proc/${state.process.pid}/status`, 'utf8')
  const field = (name: string) => new RegExp(`^${name}:\\s+(\\S+)`, 'm').exec(status)?.[1]
  assert.notEqual(field('Uid'), '0')
  assert.equal(field('Seccomp'), '2')
  assert.equal(field('NoNewPrivs'), '1')
  assert.equal(field('CapEff'), '0000000000000000')
  const [, , , , session] = (await readFile(`/proc/${state.process.pid}/stat`, 'utf8'))
    .replace(/\(.*\)/, 'x')
    .split(' ')
    .slice(1)
  assert.equal(Number(session), state.process.pid)
  const { uid, mode } = await stat(state.runtimeDirectory)
  assert.equal(uid, process.getuid?.())
  assert.equal(mode & 0o777, 0o700)
})

test('adoptVm() takes over a guest that runs on, and hears of its end', options, async (t) => {
  const first = await start(t, HANGING)
  const state = JSON.parse(JSON.stringify(first.state)) as VmState
  await first.release()
  const second = await adoptVm(state, guest.host)
  assert.ok(second)
  assert.deepEqual(second.state, state)
  process.kill(state.process.pid, 'SIGKILL')
  assert.equal((await second.exited).reason, 'unknown')
  await assertGone(state)
})

test('stop() of an adopted guest works by quit', options, async (t) => {
  const first = await start(t, HANGING)
  await first.release()
  const second = await adoptVm(first.state, guest.host)
  assert.equal((await second?.stop({ timeoutMs: 10 }))?.reason, 'stopped')
  await assertGone(first.state)
})

test(
  'adoptVm() clears what a dead guest left, also one of another boot of the host',
  options,
  async (t) => {
    const vm = await start(t, HANGING)
    await vm.release()
    await killProcess(vm.state.process)
    assert.equal(await adoptVm(vm.state, guest.host), undefined)
    await assertGone(vm.state)
    const other = { ...vm.state, bootId: 'other' }
    await mkdir(other.stateDirectory, { recursive: true })
    assert.equal(await adoptVm(other, guest.host), undefined)
    assert.equal(await isThere(other.stateDirectory), false)
  },
)

test('adoptVm() refuses to share a guest that another still holds', options, async (t) => {
  const vm = await start(t, HANGING)
  await assert.rejects(adoptVm(vm.state, guest.host), { code: 'qemu.unresponsive' })
  assert.equal(await isAlive(vm.state.process), true)
})

test('startVm() fails with a code and leaves nothing', options, async (t) => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const { port } = server.address() as AddressInfo
  const { kernel } = guest.boot
  const cases: Readonly<Record<string, Partial<VmSpec>>> = {
    'host.port-taken': { ports: [{ host: port, guest: 80 }] },
    'vm.file-missing': { boot: { kernel, initrd: '/none' } },
    'vm.spec-invalid': { cpus: 0 },
    'tee.firmware-missing': { mode: 'simulated' },
    'vm.socket-path-too-long': { runtimeDirectory: `/tmp/${'x'.repeat(100)}` },
    // A kernel that QEMU cannot load.
    'qemu.start-failed': { boot: { kernel: '/dev/null', initrd: '/dev/null' } },
  }
  for (const [code, change] of Object.entries(cases)) {
    const spec = await describeGuest(t, guest, change)
    await assert.rejects(startVm(spec, guest.host), { code }, code)
    assert.equal(await isThere(spec.runtimeDirectory), false, code)
    assert.equal(await isThere(spec.stateDirectory), false, code)
  }
})

test('startVm() gives up when it is told to, and leaves nothing', options, async (t) => {
  const spec = await describeGuest(t, guest, HANGING)
  const controller = new AbortController()
  setTimeout(() => controller.abort(new Error('enough')), 15)
  await assert.rejects(startVm(spec, guest.host, controller.signal), { message: 'enough' })
  assert.equal(await isThere(spec.runtimeDirectory), false)
  assert.equal(await isThere(spec.stateDirectory), false)
})

test('a lowered QEMU may still serve a port below 1024', options, async (t) => {
  if (process.getuid?.() !== 0) return t.skip('needs root')
  const vm = await start(t, { ...HANGING, ports: [{ host: 1011, guest: 80 }] })
  await assert.rejects(
    startVm(await describeGuest(t, guest, { ports: [{ host: 1011, guest: 80 }] }), guest.host),
    { code: 'host.port-taken' },
  )
  await vm.stop({ force: true })
})

test('startVm() does not touch the directories of an id that is taken', options, async (t) => {
  const vm = await start(t, HANGING)
  const { id, runtimeDirectory, stateDirectory } = vm.state
  const spec = await describeGuest(t, guest, { id, runtimeDirectory, stateDirectory })
  await assert.rejects(startVm(spec, guest.host), { code: 'vm.id-taken' })
  assert.equal(await isThere(runtimeDirectory), true)
  assert.equal(await isThere(stateDirectory), true)
})

test(
  'startVm() of a lowered QEMU names a boot file that only root may read',
  options,
  async (t) => {
    if (process.getuid?.() !== 0) return t.skip('needs root')
    const spec = await describeGuest(t, guest)
    const kernel = join(dirname(dirname(spec.stateDirectory)), 'kernel')
    await copyFile(guest.boot.kernel, kernel)
    await chmod(kernel, 0o600)
    const boot = { ...spec.boot, kernel }
    await assert.rejects(startVm({ ...spec, boot }, guest.host), { code: 'vm.file-unreadable' })
  },
)

test('startVm() on a full disk fails with a code and leaves nothing', options, async (t) => {
  const spec = await describeGuest(t, guest, { initdataDisk: new Uint8Array(1 << 20) })
  const folder = dirname(spec.stateDirectory)
  await mkdir(folder, { recursive: true })
  if (!(await run('mount', '-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', folder)))
    return t.skip('needs the right to mount a small disk')
  try {
    await assert.rejects(startVm(spec, guest.host), { code: 'host.disk-full' })
    assert.equal(await isThere(spec.stateDirectory), false)
    assert.equal(await isThere(spec.runtimeDirectory), false)
    const { initdataDisk: _, ...rest } = spec
    const scratch = { ...rest, scratchMiB: 64 }
    await assert.rejects(startVm(scratch, guest.host), { code: 'host.disk-full' })
  } finally {
    await run('umount', folder)
  }
})

/** Whether the program ended well. */
function run(program: string, ...words: string[]): Promise<boolean> {
  return promisify(execFile)(program, words).then(
    () => true,
    () => false,
  )
}

test(
  'a guest outlives a killed starter, and clearLeftovers() finds and ends it',
  options,
  async (t) => {
    const spec = await describeGuest(t, guest, HANGING)
    const starter = spawn(
      process.execPath,
      [join(import.meta.dirname, 'start-and-wait.ts'), JSON.stringify({ ...spec, hostData: [] })],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    const [line] = (await once(starter.stdout, 'data')) as [Buffer]
    const state = JSON.parse(String(line)) as VmState
    starter.kill('SIGKILL')
    await once(starter, 'exit')
    assert.equal(await untilGone(state.process, 200), false)
    const folders = {
      runtime: dirname(spec.runtimeDirectory),
      state: dirname(spec.stateDirectory),
    }
    assert.deepEqual(await clearLeftovers(folders, new Set([spec.id])), [])
    assert.equal(await isAlive(state.process), true)
    assert.deepEqual(await clearLeftovers(folders, new Set()), [spec.id])
    await assertGone(state)
  },
)
