import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { DiskFetchCache } from './disk-cache.ts'

const directory = mkdtempSync(join(tmpdir(), 'cloister-disk-cache-'))
after(() => {
  rmSync(directory, { recursive: true, force: true })
})

const answer = (text: string) => ({
  body: new Uint8Array(Buffer.from(text)),
  headers: { chain: 'a%20b' },
  storedAt: 1000,
})

test('DiskFetchCache gives back what it took, to its owner alone', async () => {
  const place = join(directory, 'one')
  const cache = new DiskFetchCache(place)
  assert.equal(await cache.get('https://a/'), undefined)
  await cache.set('https://a/', answer('x'))
  assert.deepEqual(await new DiskFetchCache(place).get('https://a/'), answer('x'))
  const [file = ''] = readdirSync(place)
  assert.equal(readdirSync(place).length, 1)
  assert.equal(statSync(join(place, file)).mode & 0o777, 0o600)
  assert.equal(statSync(place).mode & 0o777, 0o700)
  for (const damaged of ['', '{', 'null', '{"key":"https://b/"}', '{"key":"https://a/"}']) {
    writeFileSync(join(place, file), damaged)
    assert.equal(await cache.get('https://a/'), undefined, damaged)
  }
})

test('DiskFetchCache keeps to its bounds and forgets what was used longest ago', async () => {
  const place = join(directory, 'two')
  const cache = new DiskFetchCache(place, { files: 2, bytes: 1 << 20 })
  await cache.set('a', answer('a'))
  await cache.set('b', answer('b'))
  for (const name of readdirSync(place)) utimesSync(join(place, name), 1, 1)
  await cache.get('a')
  await cache.set('c', answer('c'))
  assert.equal(await cache.get('b'), undefined)
  assert.ok((await cache.get('a')) !== undefined && (await cache.get('c')) !== undefined)
  const small = new DiskFetchCache(place, { files: 9, bytes: 10 })
  await small.set('d', answer('d'))
  assert.deepEqual(readdirSync(place), [])
})
