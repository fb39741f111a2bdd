import assert from 'node:assert/strict'
import { test } from 'node:test'

import { run } from './run.ts'

test('run() returns what the program prints and logs its errors', async () => {
  const lines: string[] = []
  const options = { debugLog: (line: string) => void lines.push(line) }
  assert.equal(await run('sh', ['-c', 'echo out; echo err >&2'], options), 'out\n')
  assert.deepEqual(lines.slice(1), ['err'])
})

test('run() has a code for each failure', async () => {
  await assert.rejects(run('cloister-absent-program', []), { code: 'guest-image.tool-missing' })
  await assert.rejects(run('sh', ['-c', 'exit 3']), { code: 'guest-image.tool-failed' })
  await assert.rejects(run('sh', ['-c', 'echo No space left on device >&2; exit 1']), {
    code: 'guest-image.no-space',
  })
})

test('run() ends the program when it is told to stop', async () => {
  const stop = new AbortController()
  const running = run('sleep', ['60'], { signal: stop.signal })
  stop.abort(new Error('stopped'))
  await assert.rejects(running, { message: 'stopped' })
})
