import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { createFileSync, replaceFile, replaceFileSync } from './replace-file.ts'

function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'cloister-replace-'))
  t.after(() => rmSync(path, { recursive: true }))
  return path
}

const WAYS = {
  replaceFile,
  replaceFileSync: async (...words: Parameters<typeof replaceFileSync>) =>
    replaceFileSync(...words),
}

for (const [name, replace] of Object.entries(WAYS)) {
  test(`${name}() puts the new in the place of the old, with its mode, and leaves nothing else`, async (t) => {
    const folder = directory(t)
    const file = join(folder, 'file')
    await replace(file, 'old')
    assert.equal(statSync(file).mode & 0o777, 0o600)
    await replace(file, Buffer.from('new'), 0o644)
    assert.equal(readFileSync(file, 'utf8'), 'new')
    assert.equal(statSync(file).mode & 0o777, 0o644)
    assert.deepEqual(readdirSync(folder), ['file'])
  })

  test(`${name}() leaves no draft when it fails`, async (t) => {
    const folder = directory(t)
    mkdirSync(join(folder, 'taken/full'), { recursive: true })
    await assert.rejects(replace(join(folder, 'taken'), 'x'))
    assert.deepEqual(readdirSync(folder), ['taken'])
  })
}

test('createFileSync() keeps what stands there, gives it back, and leaves nothing else', (t) => {
  const folder = directory(t)
  const file = join(folder, 'key')
  assert.equal(createFileSync(file, 'first'), 'first')
  assert.equal(createFileSync(file, 'second'), 'first')
  assert.equal(statSync(file).mode & 0o777, 0o600)
  assert.throws(() => createFileSync(join(folder, 'absent/key'), 'x'), { code: 'ENOENT' })
  assert.deepEqual(readdirSync(folder), ['key'])
})
