/** VMs with a disk of their own: real firmware, real swtpm, a kernel that obeys the serial console. */
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { access, copyFile, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { adoptVm } from '../src/adopt-vm.ts'
import { readEnd } from '../src/control-log.ts'
import { findProgram } from '../src/find-program.ts'
import { clearLeftovers } from '../src/leftovers.ts'
import { importDisk } from '../src/machine/disk-image.ts'
import { openEkAuthority } from '../src/machine/ek-authority.ts'
import { findFirmware } from '../src/machine/firmware.ts'
import { writeVariables, type SecureBootChoice } from '../src/machine/secure-boot.ts'
import { encodeSeed } from '../src/machine/seed.ts'
import { manufactureVtpm } from '../src/machine/vtpm.ts'
import { isAlive, killProcess, untilGone } from '../src/process-identity.ts'
import { SimulatedProcessor } from '../src/simulator/processor.ts'
import { startVm } from '../src/start-vm.ts'
import type { MachineHardware, Vm, VmSpec } from '../src/vm-spec.ts'
import { describeGuest, findGuest, type TestGuest } from './guest.ts'
import {
  addBootOption,
  makeMachineDisk,
  SerialConsole,
  writeMachineInitrd,
} from '../src/testing/machine-disk.ts'

const PROGRAMS = ['swtpm', 'swtpm_setup', 'qemu-img', 'mcopy', 'sbsign', 'openssl']
const missing = await Promise.all(
  PROGRAMS.map(async (name) => ((await findProgram(name)) === undefined ? [name] : [])),
)
const found = await findGuest()
const firmware = await findFirmware({ secureBoot: true }).catch(() => undefined)
const skip =
  typeof found === 'string'
    ? found
    : missing.flat().length > 0
      ? `not installed: ${missing.flat().join(', ')}`
      : firmware === undefined && 'no OVMF with Secure Boot is installed'
const guest = found as TestGuest
const options = { skip, timeout: 240_000 }
const run = promisify(execFile)

const folder = await mkdtemp(join(tmpdir(), 'machine-'))
after(() => rm(folder, { recursive: true, force: true }))

/** A key pair in files, by its name. */
async function makeKey(name: string): Promise<{ key: string; pem: string; der: Buffer }> {
  const [key, pem] = [join(folder, `${name}.key`), join(folder, `${name}.pem`)]
  const subject = ['-subj', `/CN=${name}`, '-days', '3650']
  const files = ['-keyout', key, '-out', pem]
  await run('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', ...subject, ...files])
  const { stdout } = await run('openssl', ['x509', '-in', pem, '-outform', 'DER'], {
    encoding: 'buffer',
  })
  return { key, pem, der: stdout }
}

interface MachineRequest {
  /** Absent: the firmware enforces nothing. */
  readonly secureBoot?: SecureBootChoice
  readonly disk: string
  readonly hasVtpm?: boolean
  readonly change?: Partial<VmSpec>
}

/** A machine's persistent files in a folder of its own, and its description. */
async function describeMachine(t: TestContext, request: MachineRequest): Promise<VmSpec> {
  const own = await mkdtemp(join(folder, 'vm-'))
  const { secureBoot = 'none', disk, hasVtpm = true, change } = request
  const variables = join(own, 'variables.fd')
  const isEnforced = secureBoot !== 'none'
  const found = await findFirmware({ secureBoot: isEnforced })
  await writeVariables(found, secureBoot, variables)
  await addBootOption(variables)
  const vtpm = { stateDirectory: join(own, 'tpm'), key: join(own, 'tpm.key') }
  const authority = await openEkAuthority(join(folder, 'authority'))
  if (hasVtpm) await manufactureVtpm({ ...vtpm, vmId: 'test', authority })
  const machine: MachineHardware = {
    systemDisk: { path: disk, format: disk.endsWith('.qcow2') ? 'qcow2' : 'raw' },
    ...(hasVtpm && { vtpm }),
    network: { kind: 'user' },
    hasConsole: true,
  }
  return describeGuest(t, guest, {
    tee: 'none',
    mode: 'hardware',
    boot: { code: found.code, variables, secureBoot: isEnforced },
    machine,
    commandLine: '',
    memoryMiB: 512,
    ...change,
  })
}

async function start(t: TestContext, spec: VmSpec): Promise<Vm> {
  const vm = await startVm(spec, guest.host)
  t.after(() => vm[Symbol.asyncDispose]())
  return vm
}

async function assertGone({ process, vtpm, runtimeDirectory, stateDirectory }: Vm['state']) {
  assert.equal(await isAlive(process), false, 'QEMU')
  if (vtpm !== undefined) assert.equal(await isAlive(vtpm), false, 'swtpm')
  await assert.rejects(access(runtimeDirectory))
  await assert.rejects(access(stateDirectory))
}

async function uidOf(pid = 0): Promise<string | undefined> {
  return /^Uid:\s+(\d+)/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]
}

const disks = skip === false ? await makeDisks() : undefined

/** One kernel signed with the key that is in db, and one with another. */
async function makeDisks() {
  const [own, other] = await Promise.all([makeKey('own'), makeKey('other')])
  const sign = async ({ key, pem }: typeof own, name: string) => {
    const kernel = join(folder, `${name}.efi`)
    await run('sbsign', ['--key', key, '--cert', pem, '--output', kernel, guest.boot.kernel])
    const directory = await mkdtemp(join(folder, `${name}-`))
    return makeMachineDisk({ kernel, initrd: guest.boot.initrd, folder: directory })
  }
  const [good, bad] = await Promise.all([sign(own, 'good'), sign(other, 'bad')])
  const qcow2 = join(folder, 'good.qcow2')
  await importDisk(good, qcow2)
  const { der } = own
  return { good, bad, qcow2, keys: { pk: der, kek: [der], db: [der], dbx: [] } }
}

test(
  'Secure Boot with own keys and a vTPM: memory is dumped, and a lost vTPM is found',
  options,
  async (t) => {
    assert.ok(disks)
    const spec = await describeMachine(t, { disk: disks.qcow2, secureBoot: disks.keys })
    const vm = await start(t, spec)
    using serial = new SerialConsole(vm.sockets.console)
    await serial.until('machine: up', 180_000)
    assert.match(await serial.run('dmesg | grep -i secureboot'), /Secure boot enabled/)
    assert.equal(await serial.run('cat /sys/block/vda/serial'), 'cloister-system')
    const pcr = await serial.run('cat /sys/class/tpm/tpm0/pcr-sha256/7')
    assert.match(pcr, /^[0-9A-F]{64}$/)
    assert.notEqual(pcr, '0'.repeat(64))

    const { process, vtpm } = vm.state
    if (globalThis.process.getuid?.() === 0) {
      const uids = await Promise.all([uidOf(process.pid), uidOf(vtpm?.pid)])
      assert.equal(new Set([...uids, '0']).size, 3)
    }

    // Made in the guest out of two halves, so that it stands nowhere else as a whole.
    const [left, right] = [randomBytes(8).toString('hex'), randomBytes(8).toString('hex')]
    await serial.run(`echo -n ${left} > /run/canary; echo -n ${right} >> /run/canary`)
    const file = join(folder, 'memory')
    const { ranges } = await vm.dumpMemory(file)
    assert.equal(
      ranges.reduce((sum, { bytes }) => sum + bytes, 0),
      512 << 20,
    )
    assert.ok(ranges.some(({ isBlank }) => !isBlank))
    assert.ok((await readFile(file)).includes(left + right))
    assert.equal((await stat(file)).mode & 0o777, 0o600)
    await assert.rejects(vm.dumpMemory(file), { code: 'vm.dump-target-taken' })

    assert.equal(vm.vtpm, 'running')
    const lost = new Promise<void>((resolve) => void vm.onVtpmLost(resolve))
    assert.ok(vtpm)
    await killProcess(vtpm)
    await lost
    assert.equal(vm.vtpm, 'lost')
    assert.equal(await serial.run('echo alive'), 'alive')
    serial.write('off')
    const exit = await vm.exited
    assert.deepEqual([exit.reason, exit.hasLostVtpm], ['guest-shutdown', true])
    await assertGone(vm.state)
    await access(spec.machine?.systemDisk.path ?? '')
  },
)

test('Secure Boot refuses a kernel that another key signed', options, async (t) => {
  assert.ok(disks)
  const request = { disk: disks.bad, secureBoot: disks.keys, hasVtpm: false }
  const vm = await start(t, await describeMachine(t, request))
  using serial = new SerialConsole(vm.sockets.console)
  const before = await serial.until('Access Denied', 180_000)
  assert.doesNotMatch(before, /Linux version|machine: up/)
  await vm.stop({ timeoutMs: 0 })
  await assertGone(vm.state)
})

test(
  'a reset restarts a machine without a TEE; it is adopted, and cleared when nobody owns it',
  options,
  async (t) => {
    assert.ok(disks)
    const disk = join(folder, 'copy.img')
    await copyFile(disks.good, disk)
    const spec = await describeMachine(t, { disk })
    const first = await start(t, spec)
    // Another VM cannot have the same disk.
    const twin = await describeMachine(t, { disk, hasVtpm: false })
    await assert.rejects(startVm(twin, guest.host), { code: 'disk.in-use' })
    {
      using serial = new SerialConsole(first.sockets.console)
      await serial.until('machine: up', 180_000)
      serial.write('reset')
      await serial.until('machine: up', 180_000)
      assert.match(await serial.run('cat /sys/class/tpm/tpm0/pcr-sha256/4'), /^[0-9A-F]{64}$/)
    }
    const state = JSON.parse(JSON.stringify(first.state)) as Vm['state']
    await first.release()
    const second = await adoptVm(state, guest.host)
    assert.equal(second?.vtpm, 'running')
    await second.release()
    const folders = {
      runtime: dirname(spec.runtimeDirectory),
      state: dirname(spec.stateDirectory),
    }
    assert.deepEqual(await clearLeftovers(folders, new Set()), [spec.id])
    await assertGone(state)
  },
)

test(
  'a measured machine has its disks beside those of the image; its panic and its reset end it',
  options,
  async (t) => {
    assert.ok(disks)
    const processor = await SimulatedProcessor.open(join(folder, 'keys'))
    const host = { ...guest.host, openSimulator: () => Promise.resolve(processor) }
    const initrd = join(folder, 'measured.img')
    await writeMachineInitrd(guest.boot.initrd, initrd)
    const seed = join(folder, 'seed.img')
    await writeFile(seed, encodeSeed({ instanceId: 'x', hostname: 'x', sshKeys: [] }))
    const commandLine = 'console=ttyS0 panic=-1 rdinit=/machine cloister.mode=simulated'
    const spec = await describeMachine(t, {
      disk: disks.qcow2,
      change: {
        tee: 'simulated',
        mode: 'simulated',
        boot: { ...guest.boot, initrd },
        commandLine,
        scratchMiB: 64,
        initdataDisk: new Uint8Array(512),
      },
    })
    assert.ok(spec.machine)
    const machine = { ...spec.machine, seedDisk: { path: seed } }
    const vm = await startVm({ ...spec, machine }, host)
    t.after(() => vm[Symbol.asyncDispose]())
    using serial = new SerialConsole(vm.sockets.console)
    await serial.until('machine: up', 180_000)
    const serials = await serial.run('for f in /sys/block/vd*/serial; do cat $f; echo; done')
    assert.deepEqual(serials.split(/\s+/).toSorted(), [
      'cloister-initdata',
      'cloister-root',
      'cloister-scratch',
      'cloister-seed',
      'cloister-system',
    ])
    // Nobody listens as it resets; who comes later hears of it.
    assert.equal(await readEnd(vm.state), undefined)
    await vm.release()
    const before = Date.now()
    serial.write('reset')
    while (await isAlive(vm.state.process)) await sleep(50)
    const heard = await readEnd(vm.state)
    assert.equal(heard?.reason, 'guest-reset')
    assert.ok(Math.abs((heard?.at.getTime() ?? 0) - before) < 60_000)
    assert.equal(await adoptVm(vm.state, host), undefined)
    await assertGone(vm.state)
  },
)

test('startVm() of a machine fails with a code and leaves nothing', options, async (t) => {
  assert.ok(disks)
  const spec = await describeMachine(t, { disk: disks.good })
  const { machine } = spec
  assert.ok(machine?.vtpm)
  const bridge = { kind: 'bridge', bridge: 'none', mac: '02:00:00:00:00:01' } as const
  const wrongKey = join(folder, 'wrong.key')
  await writeFile(wrongKey, '0'.repeat(64))
  const cases: Readonly<Record<string, MachineHardware>> = {
    'vm.file-missing': { ...machine, systemDisk: { path: '/none', format: 'raw' } },
    'network.bridge-missing': { ...machine, network: bridge },
    // Its state cannot be opened.
    'vtpm.start-failed': { ...machine, vtpm: { ...machine.vtpm, key: wrongKey } },
    // Raw is no qcow2.
    'qemu.start-failed': { ...machine, systemDisk: { path: disks.good, format: 'qcow2' } },
  }
  for (const [code, change] of Object.entries(cases)) {
    await assert.rejects(startVm({ ...spec, machine: change }, guest.host), { code }, code)
    await assert.rejects(access(spec.runtimeDirectory), code)
    await assert.rejects(access(spec.stateDirectory), code)
  }
  // Nothing of it holds the disk or the TPM.
  const vm = await start(t, spec)
  assert.equal((await vm.stop({ force: true })).reason, 'stop-killed')
  await assertGone(vm.state)
})

test(
  'a machine outlives a killed starter with its vTPM, and both are cleared',
  options,
  async (t) => {
    assert.ok(disks)
    const spec = await describeMachine(t, { disk: disks.good })
    const starter = spawn(
      process.execPath,
      [join(import.meta.dirname, 'start-and-wait.ts'), JSON.stringify({ ...spec, hostData: [] })],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    const [line] = (await once(starter.stdout, 'data')) as [Buffer]
    const state = JSON.parse(String(line)) as Vm['state']
    starter.kill('SIGKILL')
    await once(starter, 'exit')
    assert.ok(state.vtpm)
    // Longer than an swtpm would live that is told of its starter's end.
    assert.equal(await untilGone(state.vtpm, 500), false)
    assert.equal(await isAlive(state.process), true)
    const folders = { runtime: dirname(spec.runtimeDirectory), state: dirname(spec.stateDirectory) }
    assert.deepEqual(await clearLeftovers(folders, new Set()), [spec.id])
    await assertGone(state)
  },
)

test('a machine on a bridge has a tap of its own, which goes with it', options, async (t) => {
  assert.ok(disks)
  const canUnshare = await run('unshare', ['--net', 'true']).catch(() => undefined)
  if (canUnshare === undefined) return t.skip('needs the right to make a network namespace')
  const initrd = join(folder, 'bridge.img')
  await writeMachineInitrd(guest.boot.initrd, initrd)
  // The probe mode has no simulated processor.
  const spec = await describeMachine(t, {
    disk: disks.good,
    hasVtpm: false,
    change: {
      tee: 'simulated',
      mode: 'probe',
      boot: { kernel: guest.boot.kernel, initrd },
      commandLine: 'console=ttyS0 panic=-1 rdinit=/machine',
    },
  })
  const mac = '02:00:00:00:00:07'
  const machine = { ...spec.machine, network: { kind: 'bridge', bridge: 'br0', mac } }
  const script = join(import.meta.dirname, 'on-bridge.ts')
  const words = [process.execPath, script, JSON.stringify({ ...spec, machine, hostData: [] })]
  const { stdout } = await run('unshare', ['--net', '--mount', ...words])
  assert.deepEqual(JSON.parse(stdout), { mac, ping: 'reached', before: true, after: false })
})
