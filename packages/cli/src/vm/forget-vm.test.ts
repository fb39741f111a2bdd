import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { diskKeysOf, forgetVm, type ForgetOptions } from './forget-vm.ts'

const KEYS = ['vm-db/disk-key/current', 'vm-db/disk-key/recovery']

/** A broker that keeps lists, and holds what was registered for two VMs. */
function registered(t: TestContext) {
  const images = mkdtempSync(join(tmpdir(), 'cloister-images-'))
  t.after(() => rmSync(images, { recursive: true }))
  mkdirSync(join(images, 'vm-db'))
  const secrets = new Set([...KEYS, 'vm-db/cloud-init/seed', 'vm-db2/disk-key/current', 'db/a/b'])
  const withdrawn: string[] = []
  const image = (name: string, imageVersion: number, state = 'current') =>
    ({ name, imageVersion, state }) as never
  const broker: ForgetOptions['broker'] = {
    workloads: async () => [{ name: 'db', state: 'current' }, { name: 'db2' }] as never,
    withdrawWorkload: async (name) => void withdrawn.push(`workload ${name}`),
    guestImages: async () => [
      image('vm-db', 1, 'withdrawn'),
      image('vm-db', 2),
      image('vm-db', 2),
      image('vm-db', 3),
      image('vm-db2', 1),
      image('base', 9),
    ],
    withdrawGuestImage: async (name, version) => void withdrawn.push(`${name} ${version}`),
    secrets: async () => [...secrets].map((path) => ({ path })) as never,
    removeSecret: async (path) => void secrets.delete(path),
  }
  return { broker, secrets, withdrawn, directories: { images } }
}

test('forgetVm() takes back workload, boot bundle and secrets of one VM, and nothing of another', async (t) => {
  const { broker, secrets, withdrawn, directories } = registered(t)
  assert.deepEqual(await diskKeysOf('db', broker), KEYS)
  assert.deepEqual(await forgetVm('db', { directories, broker }), [])
  assert.deepEqual(withdrawn, ['workload db', 'vm-db 2', 'vm-db 3'])
  assert.deepEqual([...secrets], ['vm-db2/disk-key/current', 'db/a/b'])
  assert.equal(existsSync(join(directories.images, 'vm-db')), false)
  assert.deepEqual(await diskKeysOf('db', broker), [])
})

test('forgetVm() keeps the keys of a disk that has copies, with nothing in force to release them to', async (t) => {
  const { broker, secrets, withdrawn, directories } = registered(t)
  assert.deepEqual(await forgetVm('db', { directories, broker, keepDiskKeys: true }), KEYS)
  assert.deepEqual(withdrawn, ['workload db', 'vm-db 2', 'vm-db 3'])
  assert.deepEqual([...secrets], [...KEYS, 'vm-db2/disk-key/current', 'db/a/b'])
})
