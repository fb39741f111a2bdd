import assert from 'node:assert/strict'
import { test } from 'node:test'
import { diskFull } from './disk-full.ts'

test('diskFull() knows what Node and SQLite say of a full disk, and nothing else', () => {
  const error = (members: object) => Object.assign(new Error('said'), members)
  const node = diskFull(error({ code: 'ENOSPC', path: '/home/x' }))
  assert.deepEqual([node?.code, node?.details.where], ['host.disk-full', '/home/x'])
  assert.equal(diskFull(error({ code: 'EDQUOT' }))?.code, 'host.disk-full')
  const sqlite = diskFull(error({ code: 'ERR_SQLITE_ERROR', errcode: 13 }), 'broker.db')
  assert.equal(sqlite?.details.where, 'broker.db')
  for (const other of [{ code: 'ENOENT' }, { errcode: 5 }, {}])
    assert.equal(diskFull(error(other)), undefined)
  assert.equal(diskFull('thrown'), undefined)
})
