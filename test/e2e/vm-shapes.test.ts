/**
 * VMs of the catalogue's image in shapes that the other tests leave out, each made by the command that a user types: own Secure Boot keys, a bridge, a
 * measured boot whose disk is not encrypted.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ensureCatalogueImage } from '@cloister/image/disk/catalogue'
import { directories } from '@cloister/protocol/directories'
import type { VmView } from '@cloister/protocol/hostd-vm-api'
import { AlteredDisk } from './altered-disk.ts'
import { Deployment } from './deployment.ts'

/** Emulated, on a busy machine. */
const BOOT_MS = 600_000
const SIZE = ['--cpus', '1', '--memory', '1G', '--no-start', '--yes']
const SHIM = 'EFI/BOOT/BOOTX64.EFI'
/** IFNAMSIZ allows 15 bytes. */
const BRIDGE = `clt${process.pid}`.slice(0, 15)

describe('shapes of VMs', { timeout: 1_800_000 }, () => {
  const work = mkdtempSync(join(tmpdir(), 'cloister-shapes-'))
  let deployment: Deployment
  before(async () => {
    await ensureCatalogueImage('debian-12', { directories: directories() })
    deployment = await Deployment.create()
  })
  after(async () => {
    await deployment?.[Symbol.asyncDispose]()
    rmSync(work, { recursive: true, force: true })
  })

  const view = (name: string) => deployment.succeed('vm', 'show', name) as Promise<VmView>

  /** Polls until there is something. */
  async function until<Value>(
    what: string,
    look: () => Promise<Value | undefined>,
  ): Promise<Value> {
    for (const end = Date.now() + BOOT_MS; ; await sleep(1_000)) {
      const found = await look()
      if (found !== undefined) return found
      assert.ok(Date.now() < end, `still not: ${what}`)
    }
  }

  async function untilSaid(name: string, from: number, ...words: readonly string[]) {
    await until(words.join(' or '), async () => {
      const text = await consoleText(name)
      return words.some((word) => text.slice(from).includes(word)) || undefined
    })
  }

  async function consoleText(name: string): Promise<string> {
    return (await deployment.run(['vm', 'logs', name])).stdout
  }

  test('own Secure Boot keys start what they signed and nothing else; a bridge carries the network', async (t) => {
    if (!canMakeBridge()) return t.skip('no right to make a bridge')
    t.after(() => ip('link', 'delete', BRIDGE))
    const keys = makeKeys(work)
    const shape = ['--tee', 'none', '--secure-boot-keys', keys.folder]
    const image = ['--image', 'debian-12', ...SIZE]
    const words = ['create', 'own', ...image, ...shape, '--network', `bridge=${BRIDGE}`]
    const made = (await deployment.succeed('vm', ...words)) as VmView
    assert.deepEqual([made.secureBootKeys, made.network.kind, made.ports], ['own', 'bridge', []])

    await t.test("Microsoft's signature on shim counts no more", async () => {
      await deployment.succeed('vm', 'start', 'own')
      await untilSaid('own', 0, 'Access Denied', 'Security Violation')
      assert.doesNotMatch(await consoleText('own'), /Linux version/)
      await deployment.succeed('vm', 'stop', 'own', '--force')
    })

    await t.test('a shim that the own key signed starts, under Secure Boot', async () => {
      const disk = join(deployment.home, 'hostd/machines', made.id, 'disk.qcow2')
      const altered = AlteredDisk.open(disk, work)
      altered.changeEspFile(SHIM, keys.sign)
      altered.writeBack(disk)
      const before = (await consoleText('own')).length
      await deployment.succeed('vm', 'start', 'own')
      await untilSaid('own', before, 'Linux version')
      const { stdout } = await deployment.run(['vm', 'integrity', 'own', '-o', 'json'])
      const { secureBoot, changes } = JSON.parse(stdout) as {
        secureBoot: boolean
        changes: { isExplained: boolean }[]
      }
      assert.equal(secureBoot, true)
      // Signatures are no part of what is measured of an image.
      assert.deepEqual(
        changes.filter(({ isExplained }) => !isExplained),
        [],
      )
    })

    await t.test('its network card is on the bridge, and goes with it', async () => {
      assert.equal(taps().length, 1)
      await deployment.succeed('vm', 'stop', 'own', '--force')
      assert.deepEqual(taps(), [])
    })
  })

  test('a measured boot without an encrypted disk comes up, and says that its disk is in clear', async (t) => {
    const words = ['--tee', 'simulated', '--instances', '1', ...SIZE]
    await deployment.succeed('vm', 'create', 'plain', '--image', 'debian-12', ...words)
    await deployment.succeed('vm', 'start', 'plain')
    const up = await until('the system of the image', async () => {
      const now = await view('plain')
      const hasStarted = now.stages.some(({ name }) => name === 'started')
      return hasStarted || now.state === 'failed' ? now : undefined
    })
    assert.equal(up.error, undefined)
    assert.ok(!up.stages.some(({ name }) => name === 'install'))
    const { exit, stdout } = await deployment.run(['verify', 'plain', '-o', 'json'])
    const { trust, checks } = JSON.parse(stdout) as {
      trust: string
      checks: { code: string; outcome: string }[]
    }
    assert.deepEqual([exit, trust], [0, 'simulated'])
    const clear = checks.find(({ code }) => code === 'vm.disk-encrypted')
    assert.equal(clear?.outcome, 'warning')
    const script = 'findmnt -no SOURCE / && cat /proc/cmdline && swapon --show | wc -l'
    const inside = await deployment.run(['vm', 'ssh', 'plain', '--wait', '600', '--', script], {
      timeoutMs: BOOT_MS,
    })
    const [source, line, swaps] = inside.stdout.trim().split('\n')
    assert.match(source ?? '', /^\/dev\/vd[a-z]2$/, inside.stderr)
    assert.match(line ?? '', /cloister\.guest=vm/)
    assert.equal(swaps, '0')

    const instances = async () =>
      (
        (await deployment.succeed('broker', 'instances', 'ls')) as {
          workload: string
          key: string
        }[]
      )
        .filter(({ workload }) => workload === 'plain')
        .map(({ key }) => key)
    const isAttested = ({ stages }: VmView) => stages.some(({ name }) => name === 'attested')
    const hasEnded = ({ state, restartsAt }: VmView) =>
      state === 'failed' && restartsAt === undefined
    const untilIs = (what: string, isThere: (now: VmView) => boolean) =>
      until(what, async () => {
        const now = await view('plain')
        return isThere(now) ? now : undefined
      })
    const [first = ''] = await instances()

    await t.test(
      'its panic is a restart in a QEMU of its own; the broker wants one at a time',
      async () => {
        assert.match(first, /^[0-9a-f]{64}$/)
        const crash = '(sleep 1; echo c >/proc/sysrq-trigger) >/dev/null 2>&1 &'
        await deployment.run(['vm', 'ssh', 'plain', '--', `sudo sh -c '${crash}'`])
        const again = await untilIs(
          'the second boot',
          (now) => now.boots === 2 && (isAttested(now) || hasEnded(now)),
        )
        assert.equal((await instances()).length, 1)
        // The one that is gone counts until its token ends. Where the boot took longer than that, it was let in.
        if (isAttested(again)) return
        assert.equal(again.error?.code, 'agent.attestation-refused')
        await deployment.succeed('broker', 'instances', 'rm', first)
      },
    )

    await t.test(
      'a kernel that panics at each boot is started five times again, and no more',
      async () => {
        await deployment.succeed('vm', 'stop', 'plain', '--force')
        const initrd = join(deployment.home, 'images/vm-plain/initrd.cpio')
        const own = readFileSync(initrd)
        writeFileSync(initrd, Buffer.alloc(512))
        const { boots } = await view('plain')
        await deployment.succeed('vm', 'start', 'plain', '--detach')
        const ended = await untilIs('its end', hasEnded)
        assert.deepEqual([ended.error?.code, ended.boots], ['vm.restart-loop', boots + 6])
        writeFileSync(initrd, own)
        for (const key of await instances())
          await deployment.succeed('broker', 'instances', 'rm', key)
        await deployment.succeed('vm', 'start', 'plain', '--detach')
        await untilIs('attested', isAttested)
        const [now] = await instances()
        assert.ok(now !== undefined && now !== first)
      },
    )
  })
})

function ip(...words: readonly string[]): string {
  return execFileSync('ip', words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

/** What is on the bridge. */
function taps(): object[] {
  return JSON.parse(ip('-j', 'link', 'show', 'master', BRIDGE) || '[]') as object[]
}

function canMakeBridge(): boolean {
  try {
    ip('link', 'add', BRIDGE, 'type', 'bridge')
    ip('link', 'set', BRIDGE, 'up')
    return true
  } catch {
    return false
  }
}

/** A folder as `--secure-boot-keys` takes it, and how to sign with the key that is in db. */
function makeKeys(work: string) {
  const folder = join(work, 'keys')
  execFileSync('mkdir', [folder])
  for (const name of ['pk', 'kek', 'db']) {
    const files = ['-keyout', join(work, `${name}.key`), '-out', join(folder, `${name}.pem`)]
    const subject = ['-subj', `/CN=own ${name}`, '-days', '3650']
    const words = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', ...subject, ...files]
    execFileSync('openssl', words, { stdio: 'ignore' })
  }
  return {
    folder,
    sign: (file: string) => {
      const signed = `${file}.signed`
      const words = ['--key', join(work, 'db.key'), '--cert', join(folder, 'db.pem')]
      execFileSync('sbsign', [...words, '--output', signed, file], { stdio: 'ignore' })
      renameSync(signed, file)
    },
  }
}
