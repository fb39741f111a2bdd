import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const REPORTER = fileURLToPath(new URL('failed-files.ts', import.meta.url))

test('the file of what failed is named once, whether a step failed, its hook or the file itself', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'cloister-failed-files-'))
  t.after(() => rm(folder, { recursive: true }))
  const files = {
    'fine.test.mjs': "import { test } from 'node:test'; test('a', () => {})",
    'hook.test.mjs':
      "import { before, test } from 'node:test'; before(() => { throw new Error('no') }); test('a', () => {})",
    'load.test.mjs': "throw new Error('no')",
    'steps.test.mjs':
      "import { test } from 'node:test'; for (const name of ['a', 'b']) test(name, (t) => t.test('step', () => { throw new Error('no') }))",
  }
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text)
  const record = join(folder, 'failed')
  const words = [
    '--test',
    `--test-reporter=${REPORTER}`,
    `--test-reporter-destination=${record}`,
    ...Object.keys(files),
  ]
  const environment = { ...process.env, NODE_TEST_CONTEXT: undefined }
  const code = await new Promise((resolve) => {
    execFile(process.execPath, words, { cwd: folder, env: environment }, (error) =>
      resolve(error?.code),
    )
  })
  assert.equal(code, 1)
  const named = (await readFile(record, 'utf8')).trimEnd().split('\n').toSorted()
  const failing = ['hook.test.mjs', 'load.test.mjs', 'steps.test.mjs']
  assert.deepEqual(
    named,
    failing.map((name) => join(folder, name)),
  )
})
