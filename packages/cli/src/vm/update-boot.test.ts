import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { isCode } from '@cloister/protocol/testing'
import { demandVersion, updateBoot, type UpdateBootContext } from './update-boot.ts'

const IMAGE = { name: 'vm-db', imageVersion: 7 }
const RELEASE = {
  version: 1,
  anchors: ['amd'],
  guestImages: [
    { name: 'vm-db', minimumVersion: 3 },
    { name: 'other', minimumVersion: 1 },
  ],
}

test('demandVersion() raises the version in each policy that names the bundle, and in no others', async () => {
  const put = new Map<string, unknown>()
  const secret = (path: string, release: unknown) => ({ path, release })
  const later = { ...RELEASE, guestImages: [{ name: 'vm-db', minimumVersion: 9 }] }
  const elsewhere = { ...RELEASE, guestImages: [{ name: 'vm-db2', minimumVersion: 1 }] }
  const raised = await demandVersion(IMAGE, {
    secrets: async () =>
      [
        secret('vm-db/disk-key/current', RELEASE),
        secret('vm-db/disk-key/next', null),
        secret('vm-db2/disk-key/current', elsewhere),
        secret('default/secret/x', RELEASE),
        secret('default/secret/later', later),
        secret('default/secret/tpm', { version: 1, kind: 'tpm' }),
      ] as never,
    putReleasePolicy: async (path, policy) => void put.set(path, policy),
  })
  assert.deepEqual(raised, ['vm-db/disk-key/current', 'default/secret/x'])
  assert.deepEqual([...put.keys()], raised)
  assert.deepEqual(put.get('default/secret/x'), {
    ...RELEASE,
    guestImages: [
      { name: 'vm-db', minimumVersion: 7 },
      { name: 'other', minimumVersion: 1 },
    ],
  })
})

test('updateBoot() refuses a VM that runs, one that boots by firmware, and what is no kernel', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'cloister-update-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const update = (view: object, source = { kernel: join(folder, 'none'), modules: folder }) =>
    updateBoot('db', source, {
      hostd: { vms: { get: async () => ({ name: 'db', state: 'stopped', tee: 'snp', ...view }) } },
      signal: new AbortController().signal,
    } as unknown as UpdateBootContext)
  await assert.rejects(update({ tee: 'none' }), isCode('vm.combination-unfit'))
  await assert.rejects(update({ state: 'running' }), isCode('vm.still-running'))
  await assert.rejects(update({}), isCode('cli.file-unreadable'))
  const unnamed = { kernel: import.meta.filename, modules: folder }
  await assert.rejects(update({}, unnamed), isCode('vm-boot.kernel-missing'))
})
