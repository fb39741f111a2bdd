import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { directories } from '@cloister/protocol/directories'
import { openVmHost } from './open-vm-host.ts'
import { simulatorDirectory } from './simulator/directory.ts'
import { askQemu } from './qemu-capabilities.ts'

const hasQemu = await askQemu().then(
  () => true,
  () => false,
)

test(
  'openVmHost() opens the simulator when it is asked for, and again after a failure',
  {
    skip: hasQemu ? false : 'QEMU is not installed',
  },
  async () => {
    const home = await mkdtemp(join(tmpdir(), 'host-'))
    const places = directories({ CLOISTER_HOME: home, CLOISTER_RUNTIME_DIR: join(home, 'run') })
    const host = await openVmHost(places)
    // Without a guest image KVM was not tried.
    assert.equal(host.accelerator, 'tcg')
    const keys = simulatorDirectory(places)
    await mkdir(keys, { recursive: true })
    await writeFile(join(keys, 'processor.json'), 'nonsense')
    await assert.rejects(host.openSimulator(), { code: 'simulator.keys-unreadable' })
    await rm(keys, { recursive: true })
    assert.equal(await host.openSimulator(), await host.openSimulator())
    await rm(home, { recursive: true })
  },
)

test('openVmHost() says that QEMU is missing', async (t) => {
  const path = process.env['PATH'] ?? ''
  t.after(() => {
    process.env['PATH'] = path
  })
  process.env['PATH'] = '/nonexistent'
  await assert.rejects(openVmHost(directories({ CLOISTER_HOME: '/nonexistent' })), {
    code: 'qemu.missing',
  })
})
