import { appendFile, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { LogEntry } from '@cloister/protocol/hostd-api'
import { LogRing, type LogRingOptions } from './log-ring.ts'

function entry(text: string): LogEntry {
  return { stream: 'stdout', time: '2026-01-01T00:00:00.000Z', text }
}

async function texts(ring: LogRing, follow = false): Promise<string[]> {
  const found: string[] = []
  for await (const line of ring.read({ follow })) found.push((JSON.parse(line) as LogEntry).text)
  return found
}

/** A ring whose file is closed when the test ends. */
async function openRing(t: TestContext, path: string, options?: LogRingOptions): Promise<LogRing> {
  const ring = await LogRing.open(path, options)
  t.after(() => ring.end())
  return ring
}

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'cloister-log-'))
  t.after(() => rm(path, { recursive: true, force: true }))
  return path
}

test('LogRing gives back what was appended, in order, also after it is opened again', async (t) => {
  const path = await folder(t)
  const ring = await openRing(t, path)
  await Promise.all(['a', 'ü\n', 'c'].map((text) => ring.append(entry(text))))
  assert.deepEqual(await texts(ring), ['a', 'ü\n', 'c'])
  await ring.end()
  const again = await openRing(t, path)
  await again.append(entry('d'))
  assert.deepEqual(await texts(again), ['a', 'ü\n', 'c', 'd'])
})

test('LogRing keeps no more than its segments, the newest ones', async (t) => {
  const path = await folder(t)
  const ring = await openRing(t, path, { segmentBytes: 200, segments: 2 })
  for (let n = 0; n < 50; n++) await ring.append(entry(`line ${n}`))
  const files = await readdir(path)
  assert.equal(files.length, 2)
  const kept = await texts(ring)
  assert.equal(kept.at(-1), 'line 49')
  assert.ok(kept.length <= 6)
})

test('LogRing drops a line that a crash cut short', async (t) => {
  const path = await folder(t)
  const ring = await openRing(t, path)
  await ring.append(entry('whole'))
  await ring.end()
  await appendFile(join(path, '1.ndjson'), '{"stream":"stdout","te')
  const again = await openRing(t, path)
  await again.append(entry('next'))
  assert.deepEqual(await texts(again), ['whole', 'next'])
  assert.equal((await readFile(join(path, '1.ndjson'), 'utf8')).split('\n').length, 3)
})

test('LogRing.read follows until the end, and skips ahead when it falls behind', async (t) => {
  const ring = await openRing(t, await folder(t), { segmentBytes: 200, segments: 2 })
  await ring.append(entry('first'))
  const reader = ring.read({ follow: true })
  const first = await reader.next()
  assert.ok(String(first.value).includes('first'))
  for (let n = 0; n < 50; n++) await ring.append(entry(`line ${n}`))
  await ring.end()
  const rest: string[] = []
  for await (const line of reader) rest.push((JSON.parse(line) as LogEntry).text)
  assert.ok(rest.length < 50)
  assert.equal(rest.at(-1), 'line 49')
})

test('LogRing.read without follow ends at what there was when it began', async (t) => {
  const ring = await openRing(t, await folder(t), { segmentBytes: 200, segments: 3 })
  for (let n = 0; n < 6; n++) await ring.append(entry(`line ${n}`))
  const found: string[] = []
  for await (const line of ring.read({ follow: false })) {
    found.push(line)
    await ring.append(entry('later'))
  }
  assert.ok(found.length <= 6)
})

test('LogRing.read ends when its signal fires', async (t) => {
  const ring = await openRing(t, await folder(t))
  const stop = new AbortController()
  const read = (async () => {
    for await (const line of ring.read({ follow: true, signal: stop.signal })) void line
  })()
  stop.abort()
  await read
})
