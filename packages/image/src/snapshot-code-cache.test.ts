import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { isCode } from '@cloister/protocol/testing'

import { AGENT_FLAGS, LATE_MODULES, snapshotAgent } from './agent-snapshot.ts'
import { trimCodeCache } from './snapshot-code-cache.ts'
import { temporaryDirectory } from './testing/temporary-directory.ts'

const number = (value: number) => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}
const entry = (name: string, data: string) =>
  Buffer.concat([number(name.length), Buffer.from(name), number(data.length), Buffer.from(data)])
const NAMES = Array.from({ length: 150 }, (_, index) => `internal/module${index}`)
const ALL = NAMES.map((name) => entry(name, `compiled ${name}`))
/** What stands before may look like a part of its own for a while. */
const HEAD = Buffer.concat([Buffer.from('V8 and more'), number(200), ALL[0]!, Buffer.alloc(3)])

test('of the compiled modules those that are asked for stay, and all before them', () => {
  const snapshot = Buffer.concat([HEAD, number(ALL.length), ...ALL])
  const trimmed = trimCodeCache(snapshot, ['internal/module149', 'internal/module7'])
  assert.deepEqual(trimmed, Buffer.concat([HEAD, number(2), ALL[149]!, ALL[7]!]))
  assert.deepEqual(trimCodeCache(snapshot, []), Buffer.concat([HEAD, number(0)]))
})

test('a file of another form, or without such a module, is refused', () => {
  const snapshot = Buffer.concat([HEAD, number(ALL.length), ...ALL])
  const refused = isCode('guest-image.tool-failed')
  assert.throws(() => trimCodeCache(snapshot, ['net']), refused)
  for (const other of [
    Buffer.alloc(0),
    Buffer.alloc(1000),
    snapshot.subarray(0, -1),
    Buffer.concat([snapshot, Buffer.alloc(1)]),
    Buffer.concat([HEAD, number(ALL.length + 1), ...ALL]),
    Buffer.concat([HEAD, number(ALL.length), ...ALL.slice(1), entry('no name', 'x')]),
  ])
    assert.throws(() => trimCodeCache(other, []), refused)
})

/** Uses Node as the agent does, in one process that ends. */
const ENTRY = `
import { spawn } from 'node:child_process'
import { createReadStream } from 'node:fs'
import { rm } from 'node:fs/promises'
import { createServer, Agent, request } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import { Duplex } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { connect, createSecureContext } from 'node:tls'
import { startupSnapshot } from 'node:v8'
startupSnapshot.setDeserializeMainFunction(() => void main())
async function main() {
  process.stdout.write('')
  const child = spawn('true', { stdio: ['ignore', 'pipe', 'ignore', 'pipe'] })
  await buffer(child.stdout)
  await rm('/nonexistent/directory', { recursive: true, force: true })
  await buffer(createReadStream('/dev/null'))
  const server = createServer((_, response) => response.end('answer'))
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address()
  const agent = new Agent({ keepAlive: true })
  const answer = await new Promise((resolve) => request({ port, agent }, resolve).end())
  await buffer(answer)
  agent.destroy()
  server.close().closeAllConnections()
  new HttpsAgent()
  const stream = new Duplex({ read() {}, write(chunk, encoding, done) { done() } })
  connect({ socket: stream, secureContext: createSecureContext({ ca: [] }) }).destroy()
}
`

test('what an agent uses of Node when it runs is in its snapshot in compiled form, no more, and is taken', async (context) => {
  const work = await temporaryDirectory(context, { 'entry.ts': ENTRY })
  const blob = join(work, 'blob')
  await writeFile(
    blob,
    await snapshotAgent(join(work, 'entry.ts'), { node: process.execPath, work }),
  )
  const words = [...AGENT_FLAGS, '--snapshot-blob', blob]
  const { status, stderr } = spawnSync(process.execPath, words, {
    env: { ...process.env, NODE_DEBUG_NATIVE: 'CODE_CACHE' },
    // As in a guest, where it leads nowhere.
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
  })
  assert.equal(status, 0, stderr)
  const accepted = stderr.matchAll(/Code cache of (\S+) .* is accepted/g)
  assert.deepEqual(Array.from(accepted, ([, name]) => name!).toSorted(), LATE_MODULES.toSorted())
  assert.doesNotMatch(stderr, /without code cache|is rejected/)
})
