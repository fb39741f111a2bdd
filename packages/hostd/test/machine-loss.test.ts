/**
 * A real VM whose host fails it: its disk is full, hostd is killed in each state, QEMU is killed. The disk boots in seconds and its init obeys the
 * serial console. Everything of hostd lies on a small file system of its own, so only root runs this.
 */
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
} from 'node:fs'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { directories } from '@cloister/protocol/directories'
import type { VmView } from '@cloister/protocol/hostd-vm-api'
import { findProgram } from '@cloister/launcher/find-program'
import { addBootOption, makeMachineDisk } from '@cloister/launcher/testing/machine-disk'
import { ensureHostd } from '../src/ensure.ts'
import type { HostdClient } from '../src/client.ts'
import { gathered } from './fixture.ts'
import { MachineTerminal } from './machine-terminal.ts'

/** hostd asks for 512 MiB before it starts a machine. */
const PLACE_MIB = 800
const BOOT_MS = 180_000

const place = mkdtempSync(join(tmpdir(), 'cl-loss-'))
const skip = await reasonToSkip()

describe('a VM whose host fails it', { skip, timeout: 600_000 }, () => {
  const places = directories({
    CLOISTER_HOME: place,
    CLOISTER_RUNTIME_DIR: `${place}-run`,
  })
  const filler = join(place, 'filler')
  let hostd: HostdClient
  let disk: string

  before(async () => {
    // QEMU runs as a user of its own, who must reach the runtime directory.
    mkdirSync(places.runtime, { mode: 0o755 })
    chmodSync(place, 0o755)
    const image = join(directories().images, 'base')
    const path = await makeMachineDisk({
      kernel: join(image, 'vmlinuz'),
      initrd: join(image, 'initrd.cpio'),
      folder: place,
    })
    hostd = await ensureHostd(places)
    const { id } = await hostd.vms.define({
      name: 'box',
      image: { path, name: 'box' },
      tee: 'none',
      secureBoot: false,
      cpus: 1,
      memoryMiB: 256,
      diskMiB: 512,
    })
    rmSync(path)
    disk = join(places.hostd, 'machines', id, 'disk.qcow2')
    await addBootOption(join(places.hostd, 'machines', id, 'variables.fd'))
  })

  after(async () => {
    await hostd.vms.stop('box', { force: true })
    await hostd.shutdown()
    execFileSync('umount', ['--lazy', place])
    rmSync(place, { recursive: true, force: true })
    rmSync(places.runtime, { recursive: true, force: true })
  })

  async function until(isReached: (view: VmView) => boolean): Promise<VmView> {
    const signal = AbortSignal.timeout(BOOT_MS)
    for await (const event of hostd.events({ vm: 'box', signal }))
      if (event.type === 'vm' && isReached(event.vm)) return event.vm
    throw new Error('the events ended')
  }

  /** A state that also the next hostd knows of: it is told before it is on disk. */
  async function untilKept(state: VmView['state']): Promise<void> {
    const file = join(dirname(disk), 'record.json')
    const deadline = performance.now() + BOOT_MS
    while (!readFileSync(file, 'utf8').includes(`"state":"${state}"`)) {
      if (performance.now() > deadline) throw new Error(`${state} was not kept`)
      await sleep(2)
    }
  }

  async function killHostd(): Promise<void> {
    const { pid } = await hostd.info()
    process.kill(pid, 'SIGKILL')
    while (existsSync(`/proc/${pid}`)) await sleep(5)
  }

  /** QEMUs that work in the VM's runtime directory. */
  async function qemus(): Promise<number> {
    const { id } = await hostd.vms.get('box')
    const names = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
    const lines = await Promise.all(
      names.map((pid) => readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '')),
    )
    return lines.filter((line) => line.includes(`guest=cloister-${id},`)).length
  }

  function assertDiskWhole(): void {
    // What a killed QEMU had taken and not yet used is a leak, not damage.
    execFileSync('qemu-img', ['check', '-q', '-f', 'qcow2', '-r', 'leaks', disk])
  }

  const isBooted = async () => {
    const terminal = await MachineTerminal.open(hostd, 'box')
    await terminal.until('machine: up', BOOT_MS)
    return terminal
  }

  test('hostd is killed while it starts the VM: the next one starts it, once', async () => {
    const starting = hostd.vms.start('box').catch(() => undefined)
    await untilKept('starting')
    await killHostd()
    await starting
    hostd = await ensureHostd(places)
    const view = await until(({ state }) => state !== 'starting')
    assert.deepEqual([view.state, view.boots], ['running', 1])
    assert.equal(await qemus(), 1)
  })

  test('hostd is killed while the VM runs: the guest notices nothing', async () => {
    {
      using terminal = await isBooted()
      await terminal.run('echo kept >/kept')
    }
    const { pid } = await hostd.vms.get('box')
    await killHostd()
    hostd = await ensureHostd(places)
    const found = await until(({ state }) => state === 'running')
    assert.equal(found.pid, pid)
    using terminal = await MachineTerminal.open(hostd, 'box')
    assert.equal(await terminal.run('cat /kept'), 'kept')
  })

  test('the disk of the host is full: the guest stands still, and no write is lost', async () => {
    using terminal = await MachineTerminal.open(hostd, 'box')
    await terminal.run('dd if=/dev/urandom of=/random bs=1M count=40 2>/dev/null')
    const sum = await terminal.run('md5sum </random')
    fill(filler)
    terminal.write('dd if=/random of=/dev/vda bs=1M seek=100 conv=fsync 2>&1; echo wrote $?')
    const full = await until(({ diskFullAt }) => diskFullAt !== undefined)
    assert.equal(full.state, 'running')
    // While it stands still, and nothing can be written: hostd is killed and finds it as it was.
    await killHostd()
    rmSync(filler)
    hostd = await ensureHostd(places)
    await until(({ diskFullAt }) => diskFullAt === undefined)
    using again = await MachineTerminal.open(hostd, 'box')
    await again.run('echo 3 >/proc/sys/vm/drop_caches')
    const read = 'dd if=/dev/vda bs=1M skip=100 count=40 2>/dev/null | md5sum'
    assert.equal(await again.run(read), sum)
  })

  test('is told in the history, and goes on by itself', async () => {
    using terminal = await MachineTerminal.open(hostd, 'box')
    fill(filler)
    terminal.write("dd if=/random of=/dev/vda bs=1M seek=200 conv=fsync 2>/dev/null; echo went''on")
    await until(({ diskFullAt }) => diskFullAt !== undefined)
    rmSync(filler)
    await until(({ diskFullAt }) => diskFullAt === undefined)
    await terminal.until('wenton', BOOT_MS)
    const types = (await gathered(hostd.vms.events('box'))).map(({ type }) => type)
    assert.ok(types.indexOf('disk-full') < types.lastIndexOf('resumed'))
  })

  test('hostd is killed while it stops the VM: the next one ends it in time', async () => {
    const stopping = hostd.vms.stop('box', { timeoutMs: 6_000 }).catch(() => undefined)
    await untilKept('stopping')
    await killHostd()
    await stopping
    hostd = await ensureHostd(places)
    const { state, error } = await until((view) => view.state !== 'stopping')
    assert.deepEqual([state, error], ['stopped', undefined])
    assert.equal(await qemus(), 0)
    assertDiskWhole()
  })

  test('QEMU is killed in the middle of a write: it has failed, its disk is whole, it starts again', async () => {
    await hostd.vms.start('box')
    {
      using terminal = await isBooted()
      terminal.write('dd if=/dev/urandom of=/dev/vda bs=1M seek=300 count=200 2>/dev/null')
      await sleep(1_000)
    }
    const { pid } = await hostd.vms.get('box')
    assert.ok(pid !== undefined)
    process.kill(pid, 'SIGKILL')
    const { error } = await until(({ state }) => state === 'failed')
    assert.equal(error?.code, 'vm.died')
    assertDiskWhole()
    await hostd.vms.start('box')
    using terminal = await isBooted()
    assert.equal(await terminal.run('echo again'), 'again')
  })

  test('is stopped at once while it stands still, for it cannot hear', async () => {
    using terminal = await MachineTerminal.open(hostd, 'box')
    fill(filler)
    // To its end: what the QEMU that was killed had taken is free in the file, and comes first.
    terminal.write('dd if=/dev/urandom of=/dev/vda bs=1M seek=100 conv=fsync 2>/dev/null')
    await until(({ diskFullAt }) => diskFullAt !== undefined)
    const asked = performance.now()
    const { state, why } = await hostd.vms.stop('box', { timeoutMs: BOOT_MS })
    assert.ok(performance.now() - asked < BOOT_MS / 2)
    assert.equal(state, 'stopped')
    assert.match(why ?? '', /stood still/)
    rmSync(filler)
    assert.equal(await qemus(), 0)
    assertDiskWhole()
  })
})

function fill(path: string): void {
  const free = execFileSync('df', ['--output=avail', '-B1', place], { encoding: 'utf8' })
  const bytes = Number(free.trim().split('\n').at(-1))
  execFileSync('fallocate', ['-l', String(bytes - 4096), path])
}

async function reasonToSkip(): Promise<string | false> {
  const programs = ['qemu-system-x86_64', 'qemu-img', 'swtpm', 'swtpm_setup', 'mcopy']
  for (const name of programs)
    if ((await findProgram(name)) === undefined) return `not installed: ${name}`
  if (!existsSync(join(directories().images, 'base', 'vmlinuz')))
    return 'no guest image; build it with: cloister guest-image build'
  try {
    const options = ['-t', 'tmpfs', '-o', `size=${PLACE_MIB}m`, 'cloister-test', place]
    execFileSync('mount', options, { stdio: 'ignore' })
    return false
  } catch {
    rmSync(place, { recursive: true, force: true })
    return 'no right to mount a file system'
  }
}
