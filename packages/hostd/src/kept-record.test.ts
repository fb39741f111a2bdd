import { setTimeout as sleep } from 'node:timers/promises'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CloisterError } from '@cloister/protocol/error'
import { isCode } from '@cloister/protocol/testing'
import { KeptRecord } from './kept-record.ts'
import type { RecordStore } from './record-store.ts'
import type { WorkloadRecord } from './record.ts'

function keep(save: (record: WorkloadRecord) => Promise<void>) {
  const failures: unknown[] = []
  const views: string[] = []
  const record = {
    step: 'taken',
    view: { id: 'x', state: 'starting' },
  } as unknown as WorkloadRecord
  const kept = new KeptRecord({
    record,
    store: { save } as RecordStore,
    changed: ({ state }) => views.push(state),
    failed: (error) => failures.push(error),
  })
  return { kept, failures, views }
}

test('KeptRecord writes in turn, and several changes in one write', async () => {
  let running = 0
  const written: string[] = []
  const { kept, views } = keep(async ({ view }) => {
    assert.equal(++running, 1)
    written.push(view.state)
    await sleep(5)
    running--
  })
  const states = ['starting', 'running', 'stopping', 'exited'] as const
  await Promise.all(states.map((state) => kept.change({ state })))
  assert.deepEqual(views, states)
  assert.equal(written.at(-1), 'exited')
  assert.ok(written.length <= 3)
})

test('KeptRecord.change() goes on without space; changeSurely() does not', async () => {
  const full = () => Promise.reject(new CloisterError('host.disk-full'))
  const { kept, failures } = keep(full)
  await kept.change({ state: 'running' })
  assert.equal(kept.view.state, 'running')
  assert.equal(failures.length, 1)
  await assert.rejects(kept.changeSurely({ pid: 1 }), isCode('host.disk-full'))
})

test('KeptRecord.freeze() waits for all writes and lets no more through', async () => {
  let writes = 0
  const { kept } = keep(async () => {
    await sleep(5)
    writes++
  })
  void kept.change({ state: 'running' })
  void kept.change({ state: 'stopping' })
  await kept.freeze()
  const before = writes
  await kept.change({ state: 'exited' })
  await sleep(20)
  assert.equal(writes, before)
  assert.equal(kept.view.state, 'stopping')
})
