import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EscapeWatch } from './escape-watch.ts'

function type(...pieces: string[]): { guest: string; left: boolean } {
  const watch = new EscapeWatch()
  let guest = ''
  for (const piece of pieces) {
    const { forGuest, leaves } = watch.typed(Buffer.from(piece))
    guest += Buffer.from(forGuest).toString()
    if (leaves) return { guest, left: true }
  }
  return { guest, left: false }
}

test('EscapeWatch leaves by Ctrl-] anywhere', () => {
  assert.deepEqual(type('ls\u001drm'), { guest: 'ls', left: true })
})

test('EscapeWatch leaves by ~. at the start of a line only, also when it comes in pieces', () => {
  assert.deepEqual(type('~.'), { guest: '', left: true })
  assert.deepEqual(type('ls\r', '~', '.'), { guest: 'ls\r', left: true })
  assert.deepEqual(type('a~.b'), { guest: 'a~.b', left: false })
})

test('EscapeWatch gives the guest every other tilde', () => {
  assert.deepEqual(type('~/bin\n'), { guest: '~/bin\n', left: false })
  assert.deepEqual(type('~~.x'), { guest: '~.x', left: false })
  assert.deepEqual(type('\n~a~.'), { guest: '\n~a~.', left: false })
})
