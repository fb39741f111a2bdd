import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CloisterError } from '@cloister/protocol/error'
import { checkLines } from './check-lines.ts'
import { escapeText } from './escape-text.ts'
import { paint } from './paint.ts'
import { errorText } from './render-error.ts'

/** Goes up a line, writes a trust in green, and turns the direction of what follows. */
const HOSTILE = '\u001B[1A\u001B[32mverified\u009B0m\u202E'
const isHarmless = (text: string) =>
  ['\u001B', '\u009B', '\u202E'].every((character) => !text.includes(character))

test('what a host or a forger puts into an error or a check cannot rewrite the terminal', () => {
  const said = { why: HOSTILE, where: HOSTILE, expected: HOSTILE, received: HOSTILE }
  const error = new CloisterError('guest.died', { ...said, requestId: HOSTILE, fix: [HOSTILE] })
  assert.ok(isHarmless(errorText(error, false)))
  const check = { code: 'snp.chain.untrusted', outcome: 'fail', ...said } as const
  assert.ok(isHarmless(checkLines([check], paint(false)).join('\n')))
})

test('JSON that was escaped has the same value', () => {
  const value = { text: `${HOSTILE}\n\tplain` }
  const escaped = escapeText(JSON.stringify(value))
  assert.ok(isHarmless(escaped))
  assert.deepEqual(JSON.parse(escaped), value)
})
