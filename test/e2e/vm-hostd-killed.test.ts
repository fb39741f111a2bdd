/** hostd is killed around the resets of a real guest: while it runs, so that nobody sees its reset, and in the pause before it is started again. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { HostdClient, hostdSocket } from '@cloister/hostd/client'
import { ensureCatalogueImage } from '@cloister/image/disk/catalogue'
import { directories } from '@cloister/protocol/directories'
import type { VmEvent, VmView } from '@cloister/protocol/hostd-vm-api'
import { Deployment } from './deployment.ts'

const NAME = `reset-${process.pid}`
/** An emulated kernel panics after some seconds; on a busy machine after many. */
const CHANGE_MS = 120_000

test(
  'a guest that resets is found again by each hostd that comes',
  { timeout: 600_000 },
  async () => {
    await ensureCatalogueImage('debian-12', { directories: directories() })
    await using deployment = await Deployment.create()
    const hostd = new HostdClient(hostdSocket(deployment))
    const until = async (what: string, isThere: (now: VmView) => boolean) => {
      for (const end = Date.now() + CHANGE_MS; ; await sleep(50)) {
        const now = await hostd.vms.get(NAME)
        if (isThere(now)) return now
        assert.ok(Date.now() < end, `not ${what}: ${JSON.stringify(now)}`)
      }
    }
    /** At once: a pause may last two seconds. */
    const killHostd = async () => {
      const { pid } = await hostd.info()
      process.kill(pid, 'SIGKILL')
      await untilGone(() => isAlive(pid))
    }
    const nextHostd = () => deployment.succeed('vm', 'show', NAME) as Promise<VmView>
    const size = ['--cpus', '1', '--memory', '512M']
    const words = ['create', NAME, '--image', 'debian-12', '--tee', 'simulated', ...size]
    const { id } = (await deployment.succeed('vm', ...words, '--no-start', '--yes')) as VmView
    // Its kernel finds no first process, and panics at each boot.
    const initrd = join(deployment.home, 'images', `vm-${NAME}`, 'initrd.cpio')
    writeFileSync(initrd, Buffer.alloc(readFileSync(initrd).length))

    await deployment.succeed('vm', 'start', NAME, '--detach')
    assert.equal((await hostd.vms.get(NAME)).boots, 1)
    await killHostd()
    assert.equal(machines(id).length, 1)
    // Nobody is there to see its reset.
    await untilGone(() => machines(id).length > 0)
    await nextHostd()
    await until('started again', ({ boots }) => boots >= 2)

    const paused = await until('in a pause', ({ restartsAt = '' }) => {
      return Date.parse(restartsAt) > Date.now() + 1_000
    })
    await killHostd()
    assert.deepEqual(machines(id), [])
    await nextHostd()
    await until('started after the pause', ({ boots, state }) => {
      return boots > paused.boots && state === 'running'
    })
    assert.ok(machines(id).length <= 1)

    await deployment.succeed('vm', 'stop', NAME, '--force')
    await killHostd()
    const stopped = await nextHostd()
    assert.equal(stopped.restartsAt, undefined)
    assert.ok(stopped.state === 'stopped' || stopped.state === 'failed')
    assert.deepEqual(machines(id), [])

    const events: VmEvent[] = []
    for await (const event of hostd.vms.events(NAME)) events.push(event)
    // Each start once, and the row of restarts goes on over all hostds.
    assert.equal(events.filter(({ type }) => type === 'starting').length, stopped.boots)
    const rows = events.flatMap(({ type, detail }) =>
      type === 'restarting' ? [Number(detail?.['inARow'])] : [],
    )
    const inOrder = Array.from({ length: stopped.boots - 1 }, (_, index) => index + 1)
    assert.deepEqual([...new Set(rows)].slice(0, inOrder.length), inOrder, String(rows))
  },
)

async function untilGone(isThere: () => boolean): Promise<void> {
  for (const end = Date.now() + CHANGE_MS; isThere(); await sleep(100))
    assert.ok(Date.now() < end, 'it stays')
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** QEMUs of one VM. */
function machines(id: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`guest=cloister-${id}`)
    } catch {
      return false
    }
  })
}
