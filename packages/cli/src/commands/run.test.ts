import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { buildImage } from '@cloister/oci/build-image'
import { LayoutWriter } from '@cloister/oci/layout-writer'
import { runCloister } from '../testing/run-cloister.ts'

describe('run', () => {
  const directory = mkdtempSync(join(tmpdir(), 'cl-run-'))
  const home = join(directory, 'home')
  after(() => {
    rmSync(directory, { recursive: true })
  })

  /** The code of the refusal. */
  async function refused(...words: readonly string[]): Promise<string | undefined> {
    const all = ['run', ...words, '--tee', 'simulated', '-o', 'json']
    const { out } = await runCloister(all, { home })
    return (JSON.parse(out) as { error?: { code: string } }).error?.code
  }

  test('looks for its image before anything is installed, built or started', async () => {
    const layout = join(directory, 'app')
    const sink = await LayoutWriter.open(layout)
    await buildImage({ sink, tag: 'v1', layers: [], config: {} })
    assert.equal(await refused(`oci:${layout}-mistyped`), 'image.not-found')
    assert.equal(await refused(`oci:${layout}:v2`), 'image.not-found')
    assert.equal(await refused('localhost:1/team/app'), 'registry.unreachable')
    assert.equal(await refused(`oci:${layout}:v1`), 'agent.command-missing')
    assert.throws(() => readdirSync(home), { code: 'ENOENT' })
  })
})
