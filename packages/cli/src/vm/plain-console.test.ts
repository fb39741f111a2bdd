import assert from 'node:assert/strict'
import { test } from 'node:test'
import { plainConsole } from './plain-console.ts'

test('plainConsole() drops colours and carriage returns before line ends', () => {
  assert.equal(plainConsole('\u001b[0;32m  OK  \u001b[0m\r\nnext\r'), '  OK  \nnext')
})

test('plainConsole() shows what could act on a terminal', () => {
  assert.equal(plainConsole('a\u001b]0;title\u0007b'), 'a\\u001b]0;title\\u0007b')
  assert.equal(plainConsole('safe\rEVIL'), 'safe\\u000dEVIL')
  assert.equal(plainConsole('\u001b[2J\u202e'), '\\u001b[2J\\u202e')
})
