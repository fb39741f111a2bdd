import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createPublicKey } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { directories } from '@cloister/protocol/directories'
import { ownerSigningKey } from './image-sign.ts'

const MODULE = new URL('image-sign.ts', import.meta.url).href

test('commands that start at once make one signing key, and its public half is the one that is kept', async (t) => {
  const home = await mkdtemp(join(tmpdir(), 'cloister-sign-'))
  t.after(() => rm(home, { recursive: true }))
  const places = directories({ CLOISTER_HOME: home })
  const script = `import { ownerSigningKey } from ${JSON.stringify(MODULE)}
    ownerSigningKey({ directories: ${JSON.stringify(places)} })`
  const start = () => promisify(execFile)(process.execPath, ['--input-type=module', '-e', script])
  await Promise.all([start(), start(), start()])
  const { key, publicKeyFile } = ownerSigningKey({ directories: places })
  const pem = createPublicKey(key).export({ type: 'spki', format: 'pem' })
  assert.equal(await readFile(publicKeyFile, 'utf8'), pem)
})
