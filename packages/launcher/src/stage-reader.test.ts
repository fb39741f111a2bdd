import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { STAGES } from '@cloister/protocol/guest-names'
import * as fc from 'fast-check'
import { parseStageLine, StageReader } from './stage-reader.ts'
import type { StageRecord } from './vm-spec.ts'

test('parseStageLine() reads every stage of the protocol', () => {
  for (const [name, number] of Object.entries(STAGES))
    assert.deepEqual(parseStageLine(`${number} ${name} 123`), {
      kind: 'stage',
      name,
      uptimeMs: 123,
    })
  assert.deepEqual(parseStageLine('! initdata.mismatch'), {
    kind: 'failure',
    code: 'initdata.mismatch',
  })
})

for (const line of [
  '10 agent 5',
  '10 initrd',
  '10 initrd -1',
  '10 initrd 1 ',
  '10 toString 1',
  '! ',
  '! A.b',
  `! ${'a'.repeat(65)}`,
  '!x',
  '',
])
  test(`parseStageLine() takes ${JSON.stringify(line)} for no stage`, () => {
    assert.equal(parseStageLine(line), undefined)
  })

test('parseStageLine() never throws', () => {
  fc.assert(fc.property(fc.string(), (line) => void parseStageLine(line)))
})

test('StageReader counts each stage once, in rising order, whatever else the guest sends', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'stage-'))
  const path = join(directory, 's')
  const server = createServer((socket) => {
    socket.write('10 initrd 1\n10 initrd 2\n30 verity 3\n20 modules 4\n')
    socket.write(Buffer.from([0xff, 0xfe, 10]))
    socket.write(`${'9'.repeat(100_000)}\n40 root 5\n! a.b\n! c.d\n50 agent`)
    socket.end()
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  const seen: StageRecord[] = []
  const reader = new StageReader(path, (stage) => seen.push(stage))
  await reader.closed
  assert.deepEqual(
    seen.map(({ name, uptimeMs }) => [name, uptimeMs]),
    [
      ['initrd', 1],
      ['verity', 3],
      ['root', 5],
    ],
  )
  assert.equal(reader.failureCode, 'a.b')
  server.close()
  await rm(directory, { recursive: true })
})
