import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Recent } from './recent.ts'

function filled(lengths: readonly number[]): Recent<number> {
  const recent = new Recent<number>(10)
  for (const [index, length] of lengths.entries()) recent.put(String(index), index, length)
  return recent
}

test('Recent keeps what is newest within its length, and one thing that is longer', () => {
  const names = ['0', '1', '2', '3']
  const held = (recent: Recent<number>) => names.filter((name) => recent.get(name) !== undefined)
  assert.deepEqual(held(filled([4, 4, 2])), ['0', '1', '2'])
  assert.deepEqual(held(filled([4, 4, 4])), ['1', '2'])
  assert.deepEqual(held(filled([4, 4, 40])), ['2'])
  assert.deepEqual(held(filled([4, 4, 40, 1])), ['3'])
})

test('Recent counts what is put in again once', () => {
  const recent = filled([4])
  for (let n = 0; n < 5; n++) recent.put('0', 7, 4)
  recent.put('1', 1, 6)
  assert.deepEqual([recent.get('0'), recent.get('1')], [7, 1])
})
