import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Shares } from './shares.ts'

test('Shares take the oldest from whoever holds most, and leave the others what they have', () => {
  const shares = new Shares<string>(10)
  const added = (name: string, holder: string, size: number) => shares.add(name, holder, size)
  assert.deepEqual(added('mine', 'me', 2), [])
  for (const name of ['1', '2', '3', '4']) assert.deepEqual(added(name, 'much', 2), [])
  assert.deepEqual(added('5', 'much', 2), ['1'])
  assert.deepEqual(added('also mine', 'me', 2), ['2'])
  assert.deepEqual(added('new', 'newcomer', 1), ['3'])
})

test('Shares count what grows, and what has no room takes nothing from others', () => {
  const shares = new Shares<string>(10)
  shares.add('small', 'me', 3)
  for (let n = 0; n < 7; n++) assert.deepEqual(shares.add('large', 'much', 1), [])
  assert.deepEqual(shares.add('large', 'much', 1), ['large'])
  assert.deepEqual(shares.add('huge', 'much', 100), ['huge'])
  assert.deepEqual(shares.add('again', 'much', 7), [])
})

test('Shares give back what is removed, once', () => {
  const shares = new Shares<number>(3)
  for (const n of [1, 2, 3]) shares.add(n, 'a', 1)
  shares.remove(2)
  shares.remove(2)
  shares.remove(7)
  assert.deepEqual(shares.add(4, 'b', 1), [])
  assert.deepEqual(shares.add(5, 'b', 1), [1])
})
