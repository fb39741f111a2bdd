/** How a command ends, as a shell sees it. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { LIMITS } from '@cloister/protocol/limits'

const MAIN = new URL('main.ts', import.meta.url).pathname

function start(...words: readonly string[]) {
  const child = spawn(process.execPath, [MAIN, ...words])
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text))
  const ended = once(child, 'close').then(([code, signal]) => ({ code, signal, said }))
  return { child, ended }
}

test('an interrupted command ends by that signal, and says so in one line', async () => {
  const { child, ended } = start('secret', 'put', 'name', '--from-file', '-')
  // More than stands between two processes: when it has gone, the command reads and waits for the rest.
  child.stdin.write(Buffer.alloc(LIMITS.resourceBytes))
  await once(child.stdin, 'drain')
  child.kill('SIGINT')
  const { signal, said } = await ended
  assert.equal(signal, 'SIGINT')
  assert.match(said, /^cli\.interrupted .*\n$/)
})

test('a reader that has gone leaves the exit code as it is', async () => {
  const refused = start('explain', 'no-such-code', '-o', 'json')
  refused.child.stdout.destroy()
  assert.equal((await refused.ended).code, 6)
  const fine = start('explain', 'image.not-found')
  fine.child.stdout.destroy()
  assert.deepEqual(await fine.ended, { code: 0, signal: null, said: '' })
})
