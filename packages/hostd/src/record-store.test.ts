import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { WorkloadRecord } from './record.ts'
import { RecordStore } from './record-store.ts'

const BYTES = new TextEncoder().encode('version = "0.1.0"\n')

function record(id: string): WorkloadRecord {
  const shared = { cpus: 1, memoryMiB: 512, scratchMiB: 64, vcpuType: 'EPYC-v4', ports: [] }
  return {
    version: 1,
    request: {
      name: 'web',
      guestImage: 'base',
      tee: 'simulated',
      debug: false,
      targets: {},
      ...shared,
    },
    view: {
      id,
      name: 'web',
      state: 'starting',
      tee: 'simulated',
      debug: false,
      guestImage: { name: 'base', imageVersion: 1 },
      image: { reference: 'localhost/web@sha256:00', digest: 'sha256:00' },
      initdataDigest: createHash('sha256').update(BYTES).digest('hex'),
      createdAt: '2026-01-01T00:00:00.000Z',
      stages: [],
      ...shared,
    },
    step: 'taken',
    container: { id: 'web', readStdout: true, readStderr: true, signal: true },
  }
}

async function newRoot(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'cloister-store-'))
  t.after(() => rm(path, { recursive: true, force: true }))
  return join(path, 'workloads')
}

test('RecordStore gives back what was saved and the exact initdata', async (t) => {
  const root = await newRoot(t)
  const store = new RecordStore(root)
  await store.load()
  const kept = record('0123456789ab')
  await store.create(kept, BYTES)
  kept.step = 'sandbox'
  await store.save(kept)
  const { workloads } = await new RecordStore(root).load()
  assert.deepEqual(workloads, [{ record: kept, initdata: Buffer.from(BYTES) }])
})

test('RecordStore.load clears folders that a crash left half made or half removed', async (t) => {
  const root = await newRoot(t)
  const store = new RecordStore(root)
  await store.load()
  await store.create(record('0123456789ab'), BYTES)
  await mkdir(join(root, 'aaaaaaaaaaaa'))
  await writeFile(join(root, 'aaaaaaaaaaaa', 'initdata.toml'), BYTES)
  await mkdir(join(root, 'bbbbbbbbbbbb.removed'))
  await writeFile(join(root, '0123456789ab', 'workload.json.new'), '{"half')
  const { workloads, unreadable } = await store.load()
  assert.equal(workloads.length, 1)
  assert.deepEqual(unreadable, [])
  assert.deepEqual(await readdir(root), ['0123456789ab'])
})

test('RecordStore.load names folders whose files others changed, and keeps them', async (t) => {
  const root = await newRoot(t)
  const store = new RecordStore(root)
  await store.load()
  const ids = ['000000000000', '111111111111', '222222222222', '333333333333']
  for (const id of ids) await store.create(record(id), BYTES)
  const place = (index: number, file: string) => join(root, ids[index] ?? '', file)
  await writeFile(place(0, 'workload.json'), '{"version":2}')
  await writeFile(place(1, 'initdata.toml'), 'other')
  await rm(place(2, 'initdata.toml'))
  await writeFile(place(3, 'workload.json'), JSON.stringify(record('444444444444')))
  const loaded = await store.load()
  assert.deepEqual(loaded.workloads, [])
  assert.deepEqual(loaded.unreadable.toSorted(), ids)
})

test('RecordStore.remove leaves nothing', async (t) => {
  const root = await newRoot(t)
  const store = new RecordStore(root)
  await store.load()
  await store.create(record('0123456789ab'), BYTES)
  await store.remove('0123456789ab')
  assert.deepEqual(await readdir(root), [])
})
