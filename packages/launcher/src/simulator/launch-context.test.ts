import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { loadLaunchContext, saveLaunchContext, type LaunchContext } from './launch-context.ts'

const CONTEXT: LaunchContext = {
  version: 1,
  policy: '30000',
  hostData: '11'.repeat(32),
  measurement: '22'.repeat(48),
  reportId: '33'.repeat(32),
  vcpuType: 'EPYC-v4',
}

test('a launch context comes back as it was saved, with no draft beside it', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'context-'))
  await saveLaunchContext(directory, CONTEXT)
  assert.deepEqual(await loadLaunchContext(directory), CONTEXT)
  assert.deepEqual(await readdir(directory), ['launch-context.json'])
  await rm(directory, { recursive: true })
})

test('loadLaunchContext() refuses what is absent or was changed', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'context-'))
  const refused = { code: 'simulator.context-unreadable' }
  await assert.rejects(loadLaunchContext(directory), refused)
  const path = join(directory, 'launch-context.json')
  for (const text of ['', '{}', JSON.stringify({ ...CONTEXT, measurement: '22' })]) {
    await writeFile(path, text)
    await assert.rejects(loadLaunchContext(directory), refused)
  }
  await rm(directory, { recursive: true })
})
