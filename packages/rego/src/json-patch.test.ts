import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toJson } from './json.ts'
import { applyPatch } from './json-patch.ts'

test('applyPatch() applies all operations', () => {
  const patched = applyPatch({ pstate: {} }, [
    { op: 'add', path: '/pstate/c1', value: 0 },
    { op: 'replace', path: '/pstate/c1', value: 1 },
  ])
  assert.deepEqual(toJson(patched ?? null), { pstate: { c1: 1 } })
})

for (const [what, operations] of Object.entries({
  'an operation on nothing': [{ op: 'remove', path: '/x' }],
  'a failed test': [{ op: 'test', path: '/pstate', value: 1 }],
  'a path through nothing': [{ op: 'add', path: '/a/b', value: 1 }],
  'an unknown operation': [{ op: 'drop', path: '/pstate' }],
  'what is no list': { op: 'add' },
}))
  test(`applyPatch() refuses ${what}`, () =>
    assert.equal(applyPatch({ pstate: {} }, operations), undefined))
