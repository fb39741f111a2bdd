import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'

import { CloisterError } from '@cloister/protocol/error'

import { AGENT_ENTRY } from './agent-bundle.ts'
import { AGENT_FLAGS, snapshotAgent } from './agent-snapshot.ts'
import { temporaryDirectory } from './testing/temporary-directory.ts'

const MAIN =
  "import { startupSnapshot } from 'node:v8'\nstartupSnapshot.setDeserializeMainFunction(main)\n"

async function snapshotOf(context: TestContext, source: string) {
  const directory = await temporaryDirectory(context, { 'entry.ts': `${source}\n${MAIN}` })
  return { directory, make: () => make(join(directory, 'entry.ts'), directory) }
}

function make(entry: string, work: string, node = process.execPath) {
  return snapshotAgent(entry, { node, work })
}

test('snapshotAgent() makes the agent the same bytes, wherever it is made and by whichever path of Node', async (context) => {
  const work = await temporaryDirectory(context)
  const node = join(work, 'elsewhere')
  await symlink(process.execPath, node)
  const other = await temporaryDirectory(context)
  const snapshots = [await make(AGENT_ENTRY, work), await make(AGENT_ENTRY, other, node)]
  assert.ok(Buffer.compare(snapshots[0]!, snapshots[1]!) === 0)
  for (const place of [work, other, process.execPath])
    assert.ok(!Buffer.from(snapshots[0]!).includes(place), place)
})

test('what is made of a snapshot is new in each guest, and what it was loaded with is there', async (context) => {
  const { directory, make } = await snapshotOf(
    context,
    `import { createHash, randomBytes, randomUUID, generateKeyPairSync, webcrypto } from 'node:crypto'
import { request } from 'node:http'
import { totalmem } from 'node:os'
const view = new DataView(new ArrayBuffer(8))
view.setUint16(0, 0xc0de)
const fixed = new Date(7)
const Early = Date
const known = new Map([['key', createHash('sha256')]].map(([key]) => [key, 'value’s']))
function main() {
  console.log(JSON.stringify({
    kept: [
      view.getUint16(0), known.get('key'), typeof request, totalmem() > 0, process.env['GIVEN'], process.getuid() >= 0,
      fixed.getTime(), fixed instanceof Date, Math.abs(new Date() - Date.now()) < 1e4, new Early(7).getTime(), new Early() > 1e12,
    ],
    fresh: [
      Math.random(), randomUUID(), webcrypto.randomUUID(), randomBytes(8).toString('hex'),
      generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' }).d,
      process.pid,
    ],
  }))
}`,
  )
  const blob = join(directory, 'blob')
  await writeFile(blob, await make())
  const [first, second] = [1, 2].map(() => {
    const words = [...AGENT_FLAGS, '--snapshot-blob', blob]
    const env = { GIVEN: 'by the guest' }
    return JSON.parse(execFileSync(process.execPath, words, { env, encoding: 'utf8' }))
  })
  const modules = [0xc0de, 'value’s', 'function', true, 'by the guest', true]
  const dates = [7, true, true, 7, true]
  assert.deepEqual(first.kept, [...modules, ...dates])
  assert.deepEqual(second.kept, first.kept)
  for (const [index, value] of first.fresh.entries())
    assert.notEqual(value, second.fresh[index], String(index))
})

test('snapshotAgent() fails where something would be of the build instead of the guest', async (context) => {
  for (const call of [
    'crypto.randomBytes(8)',
    'crypto.randomUUID()',
    "crypto.generateKeyPairSync('ed25519')",
    'crypto.getRandomValues(new Uint8Array(8))',
    'globalThis.crypto.randomUUID()',
    'Math.random()',
    'os.availableParallelism()',
    'process.geteuid()',
    'process.umask()',
    'process.hrtime()',
    'performance.now()',
    'Date.now()',
    'new Date()',
  ]) {
    const source = `import crypto from 'node:crypto'\nimport os from 'node:os'\nconst early = ${call}\nfunction main() { console.log(early, crypto, os) }`
    const { make } = await snapshotOf(context, source)
    const failure = await make().then(
      () => assert.fail(call),
      (error: unknown) => CloisterError.from(error),
    )
    assert.equal(failure.code, 'guest-image.tool-failed', call)
    assert.match(String(failure.cause), /before the guest runs/, call)
  }
})
