import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { test, type TestContext } from 'node:test'
import { isCode } from '@cloister/protocol/testing'
import { watchScratch } from './watch.ts'

const TAMPERED = 'echo "3,9,1,-;device-mapper: crypt: INTEGRITY AEAD ERROR, sector 8"'

/** A log that tells of tampering at its n-th reading. */
async function log(t: TestContext, reading: number) {
  const directory = await mkdtemp(join(tmpdir(), 'cloister-watch-'))
  t.after(() => rm(directory, { recursive: true }))
  const count = `'${join(directory, 'count')}'`
  return [
    'sh',
    '-c',
    `echo >>${count}; [ $(wc -l <${count}) -lt ${reading} ] || ${TAMPERED}`,
  ] as const
}

test('a block that fails its authentication ends the watch', async (t) => {
  await assert.rejects(watchScratch(await log(t, 1)), isCode('agent.scratch-corrupt'))
})

test('a log that ends is read again, and not in a busy loop', async (t) => {
  const start = performance.now()
  await assert.rejects(watchScratch(await log(t, 3)), isCode('agent.scratch-corrupt'))
  assert.ok(performance.now() - start > 190)
})

test('a log that is open already is read first, and again when it ends', async (t) => {
  const told = Readable.from([`${TAMPERED}\n`])
  const quiet = ['sh', '-c', 'sleep 1'] as const
  await assert.rejects(watchScratch(quiet, Promise.resolve(told)), isCode('agent.scratch-corrupt'))
  const silent = Promise.resolve(Readable.from(['nothing\n']))
  await assert.rejects(watchScratch(await log(t, 1), silent), isCode('agent.scratch-corrupt'))
})

test('a log that cannot be read ends the watch: tampering would go unseen', async () => {
  await assert.rejects(watchScratch(['/nonexistent/program']), isCode('agent.scratch-failed'))
})
