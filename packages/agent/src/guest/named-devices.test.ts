import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { isCode } from '@cloister/protocol/testing'
import { findDisks, findPorts, requireDevice } from './named-devices.ts'

async function sysfs(
  t: TestContext,
  attributes: Readonly<Record<string, string>>,
): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'cloister-sysfs-'))
  t.after(() => rm(root, { recursive: true }))
  for (const [path, text] of Object.entries(attributes)) {
    await mkdir(join(root, path, '..'), { recursive: true })
    await writeFile(join(root, path), text)
  }
  return root
}

test('findPorts() finds ports by name', async (t) => {
  const root = await sysfs(t, {
    'class/virtio-ports/vport1p1/name': 'cloister.stage\n',
    'class/virtio-ports/vport1p2/name': 'cloister.agent\n',
    'class/virtio-ports/vport1p3/name': '\n',
  })
  const ports = findPorts(root)
  assert.equal(requireDevice(ports, 'cloister.agent'), '/dev/vport1p2')
  assert.throws(() => requireDevice(ports, 'cloister.net'), isCode('agent.port-missing'))
})

test('a second device of one name stops the boot', async (t) => {
  const root = await sysfs(t, {
    'class/virtio-ports/vport1p1/name': 'cloister.agent\n',
    'class/virtio-ports/vport2p1/name': 'cloister.agent\n',
    'block/vda/serial': 'cloister-scratch',
    'block/vdb/serial': 'cloister-scratch',
  })
  assert.throws(() => findPorts(root), isCode('agent.port-duplicate'))
  assert.throws(() => findDisks(root), isCode('agent.disk-duplicate'))
})

test('findDisks() passes over what has no serial', async (t) => {
  const root = await sysfs(t, { 'block/vda/serial': 'cloister-initdata', 'block/dm-0/size': '8' })
  const disks = findDisks(root)
  assert.deepEqual([...disks.devices], [['cloister-initdata', '/dev/vda']])
  assert.throws(() => requireDevice(disks, 'cloister-scratch'), isCode('agent.disk-missing'))
})

test('a machine without such devices has none', async (t) => {
  assert.equal(findPorts(await sysfs(t, {})).devices.size, 0)
})
