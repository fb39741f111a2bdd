import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isCode } from '@cloister/protocol/testing'
import { attesterMode, guestKind } from './kernel-command-line.ts'

test('attesterMode() reads the one word', () => {
  assert.equal(attesterMode('cloister.mode=simulated cloister.root=x quiet\n'), 'simulated')
  assert.equal(attesterMode('quiet cloister.mode=hardware'), 'hardware')
})

test('attesterMode() refuses none, two, an unknown one and probe', () => {
  for (const line of [
    '',
    'quiet',
    'cloister.mode=',
    'cloister.mode=other',
    'cloister.mode=probe',
    'cloister.mode=simulated cloister.mode=hardware',
    'xcloister.mode=simulated',
  ])
    assert.throws(() => attesterMode(line), isCode('agent.mode-unknown'))
})

test('guestKind() takes a container where nothing is said, and refuses two or an unknown one', () => {
  assert.equal(guestKind('cloister.mode=simulated quiet'), 'container')
  assert.equal(guestKind('cloister.guest=vm quiet'), 'vm')
  for (const line of ['cloister.guest=', 'cloister.guest=x', 'cloister.guest=vm cloister.guest=vm'])
    assert.throws(() => guestKind(line), isCode('agent.mode-unknown'))
})
