import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isSingleThreaded } from './processor.ts'

test('several vCPUs share a thread where an older QEMU emulates them, and only there', () => {
  const old = { accelerator: 'tcg', qemu: { version: { major: 7, minor: 2 } } } as const
  assert.equal(isSingleThreaded({ cpus: 2 }, old), true)
  assert.equal(isSingleThreaded({ cpus: 1 }, old), false)
  assert.equal(isSingleThreaded({ cpus: 2 }, { ...old, accelerator: 'kvm' }), false)
  assert.equal(
    isSingleThreaded({ cpus: 2 }, { ...old, qemu: { version: { major: 10, minor: 0 } } }),
    false,
  )
})
