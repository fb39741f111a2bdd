import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { buildImage } from '@cloister/oci/build-image'
import { LayoutWriter } from '@cloister/oci/layout-writer'
import { freePort } from '../free-port.ts'
import { runCloister } from '../testing/run-cloister.ts'

describe('image encrypt', () => {
  const home = mkdtempSync(join(tmpdir(), 'cl-encrypt-'))
  const plain = `oci:${join(home, 'app')}:v1`

  /** What a command prints with `-o json`. */
  async function cloister(...words: readonly string[]) {
    const { out } = await runCloister([...words, '-o', 'json'], { home })
    return JSON.parse(out) as { key?: string; path?: string; error?: { code: string } }
  }
  const encrypt = (...words: readonly string[]) => cloister('image', 'encrypt', plain, ...words)
  const secrets = async () =>
    ((await cloister('secret', 'ls')) as readonly { path: string }[]).map(({ path }) => path)

  before(async () => {
    const sink = await LayoutWriter.open(join(home, 'app'))
    await buildImage({ sink, tag: 'v1', layers: [], config: {} })
    await cloister('broker', 'start', '--detach', '--listen', '127.0.0.1:0')
  })
  after(async () => {
    await cloister('broker', 'stop')
    rmSync(home, { recursive: true })
  })

  test('gives each image a key of its own, below image-key/', async () => {
    const keys = [
      (await encrypt(`oci:${join(home, 'first')}:v1`)).key ?? '',
      (await encrypt(`oci:${join(home, 'second')}:v1`)).key ?? '',
    ]
    assert.notEqual(keys[0], keys[1])
    for (const key of keys) assert.match(key, /^image-key\/app\/[0-9a-f]{12}$/)
    assert.deepEqual((await secrets()).toSorted(), keys.toSorted())
  })

  test('takes the key back when the image cannot be written', async () => {
    const known = await secrets()
    const target = `localhost:${await freePort(0)}/team/app:v1`
    assert.equal((await encrypt(target)).error?.code, 'registry.unreachable')
    assert.deepEqual(await secrets(), known)
  })

  test('replaces no key that images may need', async () => {
    const words = [`oci:${join(home, 'third')}:v1`, '--key', 'image-key/app/mine']
    assert.equal((await encrypt(...words)).key, 'image-key/app/mine')
    assert.equal((await encrypt(...words)).error?.code, 'owner.image-key-exists')
  })
})
