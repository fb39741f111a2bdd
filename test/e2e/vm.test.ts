/**
 * The life of a VM with the catalogue's disk: Secure Boot on, a vTPM, no TEE. Every command is the one that a user types; the guest is Debian
 * with its own kernel, shim and GRUB, which nobody prepared for Cloister.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, test } from 'node:test'
import { ensureCatalogueImage } from '@cloister/image/disk/catalogue'
import { directories } from '@cloister/protocol/directories'
import type { VmEvent, VmView } from '@cloister/protocol/hostd-vm-api'
import { freePort } from '../interop/test-registry.ts'
import { Deployment } from './deployment.ts'

/** Emulated and on a busy machine it boots in several minutes; alone in half of one. */
const BOOT_SECONDS = '600'
const BOOT = { timeoutMs: 700_000 }

describe('cloister vm', { timeout: 1_800_000 }, () => {
  test('a Debian disk boots under Secure Boot, lasts, and leaves nothing', async (t) => {
    await ensureCatalogueImage('debian-12', { directories: directories() })
    await using deployment = Deployment.bare()
    const vm = async (...words: readonly string[]) =>
      (await deployment.succeed('vm', ...words)) as VmView
    const ssh = async (...command: readonly string[]) =>
      await deployment.run(['vm', 'ssh', 'box', '--wait', BOOT_SECONDS, '--', ...command], BOOT)
    const inGuest = async (script: string) => {
      const { exit, stdout, stderr } = await ssh(script)
      assert.equal(exit, 0, `${script}: ${stdout}${stderr}`)
      return stdout.trim()
    }

    const port = await freePort()
    const size = ['--cpus', '1', '--memory', '1G', '--disk', '2G']
    const shape = ['--tee', 'none', ...size, '-p', `${port}:22`, '--no-start', '--yes']
    const defined = await vm('create', 'box', '--image', 'debian-12', ...shape)
    assert.deepEqual([defined.state, defined.secureBoot, defined.vtpm], ['defined', true, true])
    await vm('snapshot', 'box', '--create', 'fresh')

    await t.test(
      'boots with its own kernel, Secure Boot enforced, a TPM, and our keys',
      async () => {
        const started = Date.now()
        assert.equal((await vm('start', 'box')).state, 'running')
        assert.equal((await ssh('exit 7')).exit, 7, 'the exit code is that of the command')
        t.diagnostic(`ssh after ${Math.round((Date.now() - started) / 1000)} s`)
        const variable = '/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c'
        assert.equal(await inGuest(`od -An -tu1 -j4 ${variable}`), '1')
        assert.equal(await inGuest('cat /sys/class/tpm/tpm0/tpm_version_major'), '2')
        const pcr = await inGuest('cat /sys/class/tpm/tpm0/pcr-sha256/4')
        assert.doesNotMatch(pcr, /^0+$/, 'the boot loader is measured')
        assert.equal(await inGuest('hostname; id -un'), 'box\ndebian')
        assert.equal(
          await inGuest('lsblk -bdno SIZE /dev/disk/by-id/virtio-cloister-system'),
          `${2 * 2 ** 30}`,
        )
        assert.deepEqual((await ssh('echo', 'a  b', '$HOME')).stdout, 'a  b $HOME\n')
        await inGuest('echo kept | sudo tee /marker && sync')
      },
    )

    await t.test('is listed with what is known of it, and wrote on its console', async () => {
      const rows = (await deployment.succeed('ps')) as { kind: string; trust: string }[]
      assert.deepEqual(
        rows.map(({ kind, trust }) => [kind, trust]),
        [['vm', 'unattested']],
      )
      const { stdout } = await deployment.run(['vm', 'logs', 'box'])
      assert.match(stdout, /login:/)
      await deployment.refuse({ code: 'vm.still-running', exit: 1 }, [
        'vm',
        'resize',
        'box',
        '--cpus',
        '2',
      ])
      await deployment.refuse({ code: 'vm.still-running', exit: 1 }, ['vm', 'rm', 'box', '--yes'])
      const again = ['vm', 'create', 'box', '--image', 'debian-12', '--tee', 'none']
      await deployment.refuse({ code: 'vm.name-taken', exit: 1 }, again)
    })

    await t.test('does not notice that hostd is killed', async () => {
      const { pid } = (await deployment.succeed('hostd', 'status')) as { pid: number }
      process.kill(pid, 'SIGKILL')
      while (existsSync(`/proc/${pid}`)) await sleep(20)
      assert.equal(await inGuest('cat /marker'), 'kept')
      const found = await vm('show', 'box')
      assert.deepEqual([found.state, found.boots], ['running', 1])
    })

    await t.test('stops by its power button', async () => {
      const stopped = await vm('stop', 'box', '--grace', '300')
      assert.equal(stopped.state, 'stopped')
      assert.match(stopped.why ?? '', /asked to shut down, and did/)
      const disk = join(deployment.home, 'hostd/machines', stopped.id, 'disk.qcow2')
      execFileSync('qemu-img', ['check', '-q', '-f', 'qcow2', disk])
    })

    await t.test('goes back to a snapshot, grows, and boots again', async () => {
      await vm('snapshot', 'box', '--restore', 'fresh', '--yes')
      const larger = await vm('resize', 'box', '--disk', '3G', '--memory', '1200M')
      assert.deepEqual([larger.diskMiB, larger.memoryMiB], [3072, 1200])
      await deployment.refuse({ code: 'disk.shrink', exit: 6 }, [
        'vm',
        'resize',
        'box',
        '--disk',
        '2G',
      ])
      await vm('start', 'box')
      assert.equal(await inGuest('test -e /marker || echo gone'), 'gone')
      assert.equal(
        await inGuest('lsblk -bdno SIZE /dev/disk/by-id/virtio-cloister-system'),
        `${3 * 2 ** 30}`,
      )
    })

    await t.test('runs on without its TPM process, and says so', async () => {
      const { id } = await vm('show', 'box')
      process.kill(processOf('swtpm', join(deployment.runtime, 'vm', id)), 'SIGKILL')
      let view = await vm('show', 'box')
      for (let tries = 0; view.vtpmLostAt === undefined && tries < 50; tries++) {
        await sleep(200)
        view = await vm('show', 'box')
      }
      assert.ok(view.vtpmLostAt !== undefined, 'the loss is told')
      assert.equal(await inGuest('id -un'), 'debian')
    })

    const untilFailed = async () => {
      let view = await vm('show', 'box')
      for (let tries = 0; view.state !== 'failed' && tries < 100; tries++) {
        await sleep(100)
        view = await vm('show', 'box')
      }
      assert.equal(view.error?.code, 'vm.died')
      return view.error.why
    }

    await t.test('has failed when its kernel panics, and says so', async () => {
      // The answer never comes.
      const crash = "sudo sh -c 'sync; echo c >/proc/sysrq-trigger'"
      const session = deployment.run(['vm', 'ssh', 'box', '--', crash], { timeoutMs: 30_000 })
      assert.match(await untilFailed(), /panicked/)
      await session
    })

    await t.test('has failed when its QEMU is killed, and its disk is whole', async () => {
      const { pid, id } = await vm('start', 'box')
      assert.ok(pid !== undefined)
      process.kill(pid, 'SIGKILL')
      assert.match(await untilFailed(), /killed from outside/)
      const disk = join(deployment.home, 'hostd/machines', id, 'disk.qcow2')
      execFileSync('qemu-img', ['check', '-q', '-f', 'qcow2', '-r', 'leaks', disk])
      const events = (await deployment.succeed('vm', 'events', 'box')) as VmEvent[]
      const types = new Set(events.map(({ type }) => type))
      for (const type of ['found-again', 'stopped', 'resized', 'vtpm-lost', 'failed'] as const)
        assert.ok(types.has(type), type)
    })

    await t.test('is removed with everything', async () => {
      await deployment.succeed('vm', 'rm', 'box', '--yes')
      assert.deepEqual(readdirSync(join(deployment.home, 'hostd/machines')), [])
      assert.deepEqual(readdirSync(join(deployment.home, 'owner/vms')), [])
      await deployment.assertNoWorkloadLeft()
      await deployment.refuse({ code: 'vm.not-found', exit: 1 }, ['vm', 'show', 'box'])
    })
  })
})

/** The process of that program that works in a VM's runtime directory. */
function processOf(program: string, folder: string): number {
  const found = readdirSync('/proc')
    .map(Number)
    .filter((pid) => Number.isInteger(pid))
    .find((pid) => {
      try {
        const name = readFileSync(`/proc/${pid}/comm`, 'utf8').trim()
        return name === program && readlinkSync(`/proc/${pid}/cwd`) === folder
      } catch {
        return false
      }
    })
  assert.ok(found !== undefined, `a ${program} works in ${folder}`)
  return found
}
