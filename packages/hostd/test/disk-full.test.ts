/** hostd on a disk without space. Needs a small file system of its own, so only root runs it. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { isCode } from '@cloister/protocol/testing'
import { FakeMachine } from './fake-machine.ts'
import { defineRequest, startFixture, startRequest } from './fixture.ts'

const place = mkdtempSync(join(tmpdir(), 'cl-full-'))
const isMounted = mountSmall(place)

describe('a full disk', { skip: isMounted ? false : 'no right to mount a file system' }, () => {
  const filler = join(place, 'filler')

  before(() => rmSync(filler, { force: true }))
  after(() => {
    execFileSync('umount', ['--lazy', place])
    rmSync(place, { recursive: true, force: true })
  })

  function fill(): void {
    try {
      for (let piece = 0; ; piece++)
        writeFileSync(filler, Buffer.alloc(1 << 20), { flag: piece === 0 ? 'w' : 'a' })
    } catch {
      // Full now.
    }
  }

  test('refuses a start with a code and leaves nothing', async () => {
    await using machine = new FakeMachine()
    await using hostd = await startFixture(machine, place)
    await assert.rejects(
      hostd.client.start(startRequest({ scratchMiB: 512 })),
      isCode('host.disk-full'),
    )
    assert.deepEqual(await hostd.client.list(), [])
  })

  test('refuses a VM with a code and leaves nothing', async () => {
    await using machine = new FakeMachine()
    await using hostd = await startFixture(machine, place)
    await assert.rejects(
      hostd.client.vms.define(await defineRequest(hostd)),
      isCode('host.disk-full'),
    )
    assert.deepEqual(await hostd.client.vms.list(), [])
    assert.deepEqual(readdirSync(join(hostd.home, 'hostd', 'machines')), [])
  })

  test('ends no workload that runs; its end is known and its output is bounded', async () => {
    await using machine = new FakeMachine()
    await using hostd = await startFixture(machine, place)
    await hostd.client.start(startRequest())
    await hostd.until('web', ({ state }) => state === 'running')
    fill()
    machine.only.output.stdout = 'x'.repeat(1 << 20)
    machine.only.exit(4)
    const ended = await hostd.until('web', ({ state }) => state === 'exited')
    assert.equal(ended.exitCode, 4)
    rmSync(filler)
    await hostd.client.remove('web')
    assert.deepEqual(await hostd.client.list(), [])
  })
})

function mountSmall(path: string): boolean {
  try {
    const options = ['-t', 'tmpfs', '-o', 'size=70m', 'cloister-test', path]
    execFileSync('mount', options, { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
