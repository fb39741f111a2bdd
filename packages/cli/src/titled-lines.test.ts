import assert from 'node:assert/strict'
import { test } from 'node:test'
import { stageText } from './stage-text.ts'
import { titledLines } from './titled-lines.ts'

test('titledLines() puts the texts below one another, whatever the titles', () => {
  const lines = [['id', 'a'] as const, ['variables', 'b'] as const, ['', 'c'] as const]
  assert.equal(titledLines(lines), 'id         a\nvariables  b\n           c')
})

test('stageText() puts names below one another, and lets none act on the terminal', () => {
  assert.equal(stageText({ name: 'root', hostMs: 4_049 }), '  4.0 s  root')
  assert.equal(stageText({ name: '\u001B[1A', hostMs: 123_456 }), String.raw`123.5 s  \u001b[1A`)
})
