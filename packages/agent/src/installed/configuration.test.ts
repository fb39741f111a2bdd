import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { isCode } from '@cloister/protocol/testing'
import { readConfiguration } from './configuration.ts'

test('readConfiguration() takes nothing for no broker, and refuses what it does not know', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'cloister-agent-'))
  t.after(() => rm(folder, { recursive: true }))
  const file = join(folder, 'agent.json')
  assert.deepEqual(await readConfiguration(file), { version: 1, resources: [], ports: [] })
  const broker = { url: 'https://broker:8443', spki: ['00'.repeat(32)] }
  await writeFile(file, JSON.stringify({ version: 1, broker }))
  assert.deepEqual((await readConfiguration(file)).broker, broker)
  const broken = [
    'not JSON',
    JSON.stringify({ version: 2 }),
    JSON.stringify({ version: 1, broker: { ...broker, spki: [] } }),
    JSON.stringify({ version: 1, broker: { ...broker, url: 'http://broker' } }),
    JSON.stringify({ version: 1, resources: ['../etc'] }),
    JSON.stringify({ version: 1, unknown: true }),
  ]
  for (const text of broken) {
    await writeFile(file, text)
    await assert.rejects(readConfiguration(file), isCode('agent.configuration-malformed'))
  }
})
