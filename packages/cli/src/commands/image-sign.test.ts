import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createPublicKey } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { buildImage } from '@cloister/oci/build-image'
import { openLayout } from '@cloister/oci/layout'
import { LayoutWriter } from '@cloister/oci/layout-writer'
import { generateSigningKey } from '@cloister/oci/signing-key'
import { directories } from '@cloister/protocol/directories'
import { ownerSigningKey } from './image-sign.ts'

const MAIN = new URL('../main.ts', import.meta.url)
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

test("image sign takes cosign's encrypted key files, with their password and no other", async (t) => {
  const home = await mkdtemp(join(tmpdir(), 'cloister-sign-'))
  t.after(() => rm(home, { recursive: true }))
  const layout = join(home, 'layout')
  const sink = await LayoutWriter.open(layout)
  await buildImage({ sink, tag: 'v1', layers: [], config: {} })
  const { privateKeyFile } = generateSigningKey('the password')
  const [keyFile, passwordFile] = [join(home, 'cosign.key'), join(home, 'password')]
  await writeFile(keyFile, privateKeyFile)
  await writeFile(passwordFile, 'the password\n')
  const sign = (words: readonly string[], password = '') =>
    promisify(execFile)(
      process.execPath,
      [
        MAIN.pathname,
        'image',
        'sign',
        `oci:${layout}:v1`,
        '--key',
        keyFile,
        '-o',
        'json',
        ...words,
      ],
      { env: { ...process.env, CLOISTER_HOME: home, COSIGN_PASSWORD: password } },
    )
  for (const password of ['', 'another'])
    await assert.rejects(
      sign([], password),
      ({ stdout, stderr }: { stdout: string; stderr: string }) => {
        assert.match(stdout + stderr, /image\.signing-key-malformed/)
        return true
      },
    )
  assert.equal((await (await openLayout(layout)).index()).manifests.length, 1)
  await sign([], 'the password')
  await sign(['--password-from', passwordFile])
  assert.ok((await (await openLayout(layout)).index()).manifests.length > 1)
})
