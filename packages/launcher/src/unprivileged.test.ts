import assert from 'node:assert/strict'
import { test } from 'node:test'
import { lowering } from './unprivileged.ts'

const NOTHING = { devices: [], pinsMemory: false, hostPorts: [8080] }
const isRoot = process.getuid?.() === 0

test('lowering() gives each VM a uid of its own, always the same', { skip: !isRoot }, () => {
  const one = lowering('one', NOTHING)
  assert.deepEqual(lowering('one', NOTHING), one)
  assert.ok(one && one.uid !== 0)
  assert.ok(one.command.includes(`--reuid=${one.uid}`) && one.command.includes('--clear-groups'))
  assert.ok(!one.command.includes('--memlock=unlimited'))
  const other = lowering('two', { ...NOTHING, pinsMemory: true })
  // In a user namespace of few uids both are nobody.
  assert.ok(other && (other.uid === 65534 || other.uid !== one.uid))
  assert.ok(other.command.includes('--memlock=unlimited'))
})

test('lowering() never keeps the group of root', { skip: !isRoot }, () => {
  assert.ok(
    lowering('one', { ...NOTHING, devices: ['/dev/null', '/nonexistent'] })?.command.includes(
      '--clear-groups',
    ),
  )
})

test('lowering() keeps one capability for a low port, and else none', { skip: !isRoot }, () => {
  const plain = lowering('one', NOTHING)?.command
  assert.ok(plain?.includes('--bounding-set=-all') && plain.includes('--ambient-caps=-all'))
  const low = lowering('one', { ...NOTHING, hostPorts: [8080, 1] })?.command
  assert.ok(low?.includes('--ambient-caps=-all,+net_bind_service'))
})

test('lowering() has nothing to do for an ordinary user', { skip: isRoot }, () => {
  assert.equal(lowering('one', NOTHING), undefined)
})
