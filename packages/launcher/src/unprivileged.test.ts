import assert from 'node:assert/strict'
import { test } from 'node:test'
import { lowering } from './unprivileged.ts'

const isRoot = process.getuid?.() === 0

test('lowering() gives each VM a uid of its own, always the same', { skip: !isRoot }, () => {
  const one = lowering('one', [], false)
  assert.deepEqual(lowering('one', [], false), one)
  assert.ok(one && one.uid !== 0)
  assert.ok(one.command.includes(`--reuid=${one.uid}`) && one.command.includes('--clear-groups'))
  assert.ok(!one.command.includes('--memlock=unlimited'))
  const other = lowering('two', [], true)
  // In a user namespace of few uids both are nobody.
  assert.ok(other && (other.uid === 65534 || other.uid !== one.uid))
  assert.ok(other.command.includes('--memlock=unlimited'))
})

test('lowering() never keeps the group of root', { skip: !isRoot }, () => {
  assert.ok(
    lowering('one', ['/dev/null', '/nonexistent'], false)?.command.includes('--clear-groups'),
  )
})

test('lowering() has nothing to do for an ordinary user', { skip: isRoot }, () => {
  assert.equal(lowering('one', [], false), undefined)
})
