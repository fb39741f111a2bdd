import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ChangeFeed } from './change-feed.ts'

test('ChangeFeed tells a slow reader each id once', async () => {
  const feed = new ChangeFeed()
  const stop = new AbortController()
  const reader = feed.read(stop.signal)
  assert.deepEqual((await reader.next()).value, [])
  for (let n = 0; n < 1000; n++) feed.changed(n % 2 === 0 ? 'a' : 'b')
  assert.deepEqual((await reader.next()).value, ['a', 'b'])
  const next = reader.next()
  feed.changed('c')
  assert.deepEqual((await next).value, ['c'])
})

test('ChangeFeed ends with its signal, also while nothing changes', async () => {
  const feed = new ChangeFeed()
  const stop = new AbortController()
  const reader = feed.read(stop.signal)
  await reader.next()
  const next = reader.next()
  stop.abort()
  assert.equal((await next).done, true)
})
