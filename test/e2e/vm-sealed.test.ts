/**
 * A VM with an encrypted disk under the simulated TEE, on a Debian disk that nobody prepared for Cloister: it comes up to its own systemd, and
 * whoever owns the host tries what owners of hosts can: look into its files, exchange the initrd, change the header of the disk.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  appendFileSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { UpdatedBoot } from '@cloister/cli/vm/update-boot'
import { readDiskSystem } from '@cloister/image/boot-bundle/disk-system'
import { ensureCatalogueImage } from '@cloister/image/disk/catalogue'
import type { VmView } from '@cloister/protocol/hostd-vm-api'
import { directories } from '@cloister/protocol/directories'
import { SEALED_DISK } from '@cloister/protocol/sealed-disk/layout'
import { Deployment } from './deployment.ts'

const NAME = `sealed-${process.pid}`
const CANARY = `canary-${process.pid}-of-the-seed`
/** Words of every Debian system, that stand in its root many times. */
const CONTENT = 'Debian GNU/Linux 12 (bookworm)'
/** Emulated, with a disk to encrypt, on a busy machine. */
const BOOT_MS = 900_000
const VERIFY_TRIES = 60
/** Exit codes of `verify`: undecided, and no answer in time. */
const NOT_YET = new Set([3, 4])

test('a VM with an encrypted disk', { timeout: 2_400_000 }, async (t) => {
  const disk = await ensureCatalogueImage('debian-12', { directories: directories() })
  await using deployment = await Deployment.create()
  const view = () => deployment.succeed('vm', 'show', NAME) as Promise<VmView>
  const until = async (isThere: (view: VmView) => boolean) => {
    const deadline = Date.now() + BOOT_MS
    for (;;) {
      const now = await view()
      if (isThere(now) || now.state === 'failed') return now
      assert.ok(Date.now() < deadline, `still ${JSON.stringify(now.stages.at(-1))}`)
      await sleep(2_000)
    }
  }
  /** As soon as hostd has found the agent again. */
  const verdict = async () => {
    for (let attempt = 1; ; attempt++) {
      const { exit, stdout } = await deployment.run(['verify', NAME, '-o', 'json'])
      const { trust, checks = [] } = JSON.parse(stdout) as {
        trust?: string
        checks?: { code: string; outcome: string }[]
      }
      if (!NOT_YET.has(exit) || attempt === VERIFY_TRIES) return { exit, trust, checks }
      await sleep(2_000)
    }
  }
  const hasStarted = ({ stages }: VmView) => stages.some(({ name }) => name === 'started')
  /** Starts it and gives the code with which it ends. */
  const refusal = async () => {
    await deployment.succeed('vm', 'start', NAME, '--detach')
    const ended = await until(hasStarted)
    if (ended.state !== 'failed') await deployment.succeed('vm', 'stop', NAME, '--force')
    return ended.error?.code
  }
  const seed = join(deployment.home, 'user-data')
  writeFileSync(seed, `#cloud-config\nfinal_message: "${CANARY}"\n`)
  const size = ['--cpus', '1', '--memory', '1G']
  const shape = ['--tee', 'simulated', '--encrypt-disk', ...size, '--cloud-init', seed, '--yes']
  await deployment.succeed(
    'vm',
    'create',
    NAME,
    '--image',
    disk.path,
    '--user',
    'debian',
    '--no-start',
    ...shape,
  )
  const machines = join(deployment.home, 'hostd/machines')
  const folder = join(machines, readdirSync(machines)[0] ?? '')
  const image = join(folder, 'disk.qcow2')

  await t.test('shows nothing of its content to the host before it ran', async () => {
    assert.deepEqual(await deployment.filesWith([CANARY, CONTENT], machines), [])
  })

  await t.test('comes up to its own system, and verifies', async () => {
    await deployment.succeed('vm', 'start', NAME)
    const up = await until(hasStarted)
    assert.equal(up.error, undefined)
    assert.ok(up.stages.some(({ name }) => name === 'install'))
    // hostd may come and go.
    await deployment.run(['hostd', 'stop'])
    const { exit, trust, checks } = await verdict()
    assert.deepEqual([exit, trust], [0, 'simulated'])
    const outcomeOf = (code: string) => checks.find((check) => check.code === code)?.outcome
    assert.equal(outcomeOf('vm.disk-encrypted'), 'pass')
    assert.equal(outcomeOf('workload.registered'), 'pass')
    const words = ['vm', 'ssh', NAME, '--wait', '900', '--', 'findmnt -no SOURCE /']
    const inside = await deployment.run(words, { timeoutMs: BOOT_MS })
    assert.equal(inside.stdout.trim(), '/dev/mapper/cloister-system', inside.stderr)
  })

  await t.test('shows nothing of its content on its disk after it ran', async () => {
    await deployment.succeed('vm', 'stop', NAME, '--force')
    assert.deepEqual(await deployment.filesWith([CANARY, CONTENT], image), [])
  })

  await t.test('gets no key when only its initrd was exchanged', async () => {
    const initrd = join(deployment.home, 'images', `vm-${NAME}`, 'initrd.cpio')
    const own = readFileSync(initrd)
    // The kernel skips what follows the archive: the guest boots as before, and is another one.
    appendFileSync(initrd, Buffer.alloc(512))
    assert.equal(await refusal(), 'agent.resource-refused')
    writeFileSync(initrd, own)
  })

  await t.test('opens no disk whose header was changed in one byte', async () => {
    copyFileSync(image, `${image}.own`)
    const place = SEALED_DISK.slots[1] + SEALED_DISK.labelBytes + 4096 + 64
    execFileSync('qemu-io', ['-f', 'qcow2', '-c', `write -P 0x20 ${place} 1`, image])
    assert.equal(await refusal(), 'agent.disk-label')
    copyFileSync(`${image}.own`, image)
  })

  await t.test("opens no disk of another VM's, even of the same image and owner", async () => {
    const other = `other-${process.pid}`
    const words = ['--image', disk.path, '--user', 'debian', '--no-start', ...shape]
    const { id } = (await deployment.succeed('vm', 'create', other, ...words)) as VmView
    copyFileSync(join(machines, id, 'disk.qcow2'), image)
    assert.equal(await refusal(), 'agent.disk-label')
    copyFileSync(`${image}.own`, image)
  })

  const bundle = join(deployment.home, 'images', `vm-${NAME}`)
  const bundleBefore = join(deployment.home, 'bundle-before')

  await t.test(
    'boots another kernel with the disk that it has, once its owner gave it',
    async () => {
      cpSync(bundle, bundleBefore, { recursive: true })
      const before = (await view()).guestImage?.imageVersion ?? Infinity
      const work = join(deployment.home, 'kernel')
      mkdirSync(work)
      const { kernel } = await readDiskSystem(disk.path, work, {})
      // Padding that the kernel does not know of makes another kernel.
      appendFileSync(kernel.image, Buffer.alloc(4096))
      const modules = join(kernel.tree, 'usr/lib/modules', kernel.release)
      const words = ['vm', 'update-boot', NAME, '--kernel', kernel.image, '--modules', modules]
      const updated = (await deployment.succeed(...words)) as UpdatedBoot
      assert.ok(updated.imageVersion > before)
      assert.ok(updated.secrets.includes(`vm-${NAME}/disk-key/current`))
      await deployment.succeed('vm', 'start', NAME)
      const up = await until(hasStarted)
      assert.deepEqual(
        [up.error, up.guestImage?.imageVersion, up.stages.some(({ name }) => name === 'install')],
        [undefined, updated.imageVersion, false],
      )
      assert.equal((await verdict()).trust, 'simulated')
      await deployment.succeed('vm', 'stop', NAME, '--force')
    },
  )

  await t.test('gets no key when the host boots the kernel before', async () => {
    const now = join(deployment.home, 'bundle-now')
    cpSync(bundle, now, { recursive: true })
    const exchange = (from: string) => {
      rmSync(bundle, { recursive: true })
      cpSync(from, bundle, { recursive: true })
    }
    exchange(bundleBefore)
    assert.equal(await refusal(), 'agent.resource-refused')
    exchange(now)
  })

  await t.test('stays closed when its owner withdraws the key', async () => {
    await deployment.succeed('secret', 'rm', `vm-${NAME}/disk-key/current`)
    assert.equal(await refusal(), 'agent.resource-refused')
  })
})
