/** A VM of the catalogue's image under Secure Boot, whose disk is altered while it is off: each change is refused, or found and named. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ensureCatalogueImage } from '@cloister/image/disk/catalogue'
import { directories } from '@cloister/protocol/directories'
import { AlteredDisk } from './altered-disk.ts'
import { Deployment } from './deployment.ts'

const NAME = 'whole'
/** Firmware and GRUB take 15 s under emulation, and on a busy machine a multiple. */
const BOOT_TIMEOUT_MS = 240_000

interface Change {
  readonly component: string
  readonly pcr: number
  readonly kind: string
  readonly phase: string
  readonly expected?: string
  readonly received?: string
  readonly subject?: string
  readonly isExplained: boolean
}
interface Integrity {
  readonly early: string
  readonly late: string
  readonly baseline: { readonly origin: string } | null
  readonly changes: readonly Change[]
  readonly quoted: { readonly early: boolean; readonly late: boolean }
  readonly registers: readonly {
    readonly pcr: number
    readonly status: string
    readonly why?: string
  }[]
  readonly secureBoot: boolean | null
  readonly checks: readonly { readonly code: string; readonly outcome: string }[]
}

describe('the integrity of a VM', () => {
  const work = mkdtempSync(join(tmpdir(), 'cloister-integrity-'))
  let deployment: Deployment
  let release: string
  let disk: string

  before(async () => {
    const { manifest } = await ensureCatalogueImage('debian-12', { directories: directories() })
    release = manifest.kernelRelease
    deployment = Deployment.bare()
    const shape = ['--tee', 'none', '--cpus', '1', '--memory', '512M', '--no-start', '--yes']
    const view = await deployment.succeed('vm', 'create', NAME, '--image', 'debian-12', ...shape)
    disk = join(deployment.home, 'hostd/machines', view.id, 'disk.qcow2')
  })
  after(async () => {
    rmSync(work, { recursive: true, force: true })
    await deployment?.[Symbol.asyncDispose]()
  })

  async function integrity(...options: readonly string[]): Promise<Integrity & { exit: number }> {
    const { exit, stdout, stderr } = await deployment.run([
      'vm',
      'integrity',
      NAME,
      ...options,
      '-o',
      'json',
    ])
    assert.ok([0, 2, 3].includes(exit), stdout + stderr)
    return { ...(JSON.parse(stdout) as Integrity), exit }
  }

  /** Until its console says one of these, in this boot. */
  async function boot(...words: readonly string[]): Promise<void> {
    const before = (await consoleText()).length
    await deployment.succeed('vm', 'start', NAME)
    const end = Date.now() + BOOT_TIMEOUT_MS
    for (;;) {
      const text = (await consoleText()).slice(before)
      if (words.some((word) => text.includes(word))) return
      assert.ok(
        Date.now() < end,
        `the console says none of ${words.join(', ')}: ${text.slice(-800)}`,
      )
      await sleep(2000)
    }
  }

  async function consoleText(): Promise<string> {
    const { stdout } = await deployment.run(['vm', 'logs', NAME])
    return stdout
  }

  async function alter(change: (altered: AlteredDisk) => void): Promise<void> {
    await deployment.succeed('vm', 'stop', NAME, '--force')
    const altered = AlteredDisk.open(disk, work)
    change(altered)
    altered.writeBack(disk)
  }

  const named = ({ changes }: Integrity, component: string) =>
    changes.find((change) => change.component === component && !change.isExplained)

  test('is predicted before the first boot, which measures just that', async () => {
    const atRest = await integrity()
    assert.deepEqual([atRest.exit, atRest.baseline?.origin], [3, 'predicted'])
    await boot('Linux version')
    const first = await integrity()
    assert.deepEqual(
      first.changes.filter(({ isExplained }) => !isExplained),
      [],
    )
    assert.deepEqual([first.early, first.late, first.exit], ['unknown', 'unknown', 3])
    assert.equal(first.secureBoot, true)
    const unknown = first.registers.filter(({ status }) => status === 'unknown')
    const withStatus = (wanted: string) =>
      first.registers.filter(({ status }) => status === wanted).map(({ pcr }) => pcr)
    // Firmware of Debian 13 measures tables of the machine into PCR 1, that of Debian 12 the boot entries alone.
    const [known, open] = withStatus('unknown').includes(1)
      ? [
          [2, 3, 4, 5, 6, 7, 9, 14],
          [0, 1, 8],
        ]
      : [
          [1, 2, 3, 4, 5, 6, 7, 9, 14],
          [0, 8],
        ]
    assert.deepEqual([withStatus('match'), withStatus('unknown')], [known, open])
    for (const { why } of unknown) assert.match(why ?? '', /measures/)
    assert.deepEqual(first.quoted, { early: false, late: false })
    const unquoted = first.checks.find(({ code }) => code === 'integrity.unquoted')
    assert.equal(unquoted?.outcome, 'not-checked')
  })

  test('is learned, and then matches whole', async () => {
    assert.equal((await integrity('--learn')).exit, 0)
    const learned = await integrity()
    assert.deepEqual([learned.early, learned.late, learned.exit], ['match', 'match', 0])
    assert.equal(learned.baseline?.origin, 'learned')
  })

  test('finds an edited grub.cfg and a replaced initrd, which Secure Boot lets start', async () => {
    let initrd: Buffer = Buffer.alloc(0)
    await alter((altered) => {
      altered.changeRootFile('/boot/grub/grub.cfg', (content) =>
        Buffer.from(content.toString().replace(' ro ', ' ro init=/bin/sh ')),
      )
      initrd = altered.changeRootFile(`/boot/initrd.img-${release}`, (content) =>
        Buffer.concat([content, Buffer.alloc(512)]),
      )
    })
    await boot('Linux version')
    const found = await integrity('--diff')
    assert.deepEqual([found.early, found.late, found.exit], ['match', 'mismatch', 2])
    const digest = createHash('sha256').update(initrd).digest('hex')
    assert.deepEqual([named(found, 'initrd')?.pcr, named(found, 'initrd')?.received], [9, digest])
    assert.match(named(found, 'initrd')?.expected ?? '', /^[0-9a-f]{64}$/)
    assert.match(named(found, 'kernel command line')?.subject ?? '', /init=\/bin\/sh/)
    assert.equal(named(found, 'grub configuration')?.pcr, 9)
    const events = (await deployment.succeed('vm', 'events', NAME)) as {
      type: string
      detail?: { late: string; changes: Change[] }
    }[]
    const event = events.findLast(({ type }) => type === 'integrity')
    assert.equal(event?.detail?.late, 'mismatch')
    assert.ok(event.detail.changes.some(({ component }) => component === 'initrd'))
  })

  test('finds another boot loader in the place of GRUB, though it is signed', async () => {
    await alter((altered) => {
      altered.copyEspFile('EFI/BOOT/mmx64.efi', 'EFI/BOOT/grubx64.efi')
    })
    await boot('MOK', 'Boot Manager', 'Select Entry', 'Continue')
    const found = await integrity()
    assert.deepEqual([found.early, found.exit], ['mismatch', 2])
    assert.deepEqual([named(found, 'grub')?.pcr, named(found, 'grub')?.kind], [4, 'changed'])
  })

  test('a kernel with one other byte is refused by Secure Boot, and the log says how far it got', async () => {
    await alter((altered) => {
      altered.copyEspFile('EFI/debian/grubx64.efi', 'EFI/BOOT/grubx64.efi')
      altered.changeRootFile(`/boot/vmlinuz-${release}`, (content) => {
        const changed = Buffer.from(content)
        changed.writeUInt8(changed.readUInt8(5_000_000) ^ 1, 5_000_000)
        return changed
      })
    })
    await boot('bad shim signature', 'Security Violation')
    assert.ok(!(await consoleText()).split('bad shim signature').at(-1)?.includes('Linux version'))
    const found = await integrity()
    assert.equal(found.exit, 2)
    assert.equal(named(found, 'kernel')?.pcr, 4)
  })
})
