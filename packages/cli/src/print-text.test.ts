import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { printText } from './print-text.ts'

function printed(text: string, isTTY: boolean): string {
  let all = ''
  const write = (part: string) => (all += part) !== ''
  printText(text, { isTTY, write })
  return all
}

test('printText() shows a terminal what could act on it, and gives a file every byte', () => {
  const text = '# \u001b]0;title\u0007 \u009b2J \u202e\n\tx\n'
  assert.equal(printed(text, true), '# \\u001b]0;title\\u0007 \\u009b2J \\u202e\n\tx\n')
  assert.equal(printed(text, false), text)
})

test('what policies of others hold reaches no terminal but by printText()', () => {
  for (const file of ['policy-eval.ts', 'policy-fmt.ts'])
    assert.doesNotMatch(
      readFileSync(join(import.meta.dirname, 'commands', file), 'utf8'),
      /stdout\.write/,
    )
})
