import { tmpdir } from 'node:os'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isCode } from '@cloister/protocol/testing'
import { checkCapacity, checkCpus } from './capacity.ts'

const SMALL = { memoryMiB: 1, scratchMiB: 1 }

test('checkCapacity() lets a small guest through', async () => {
  await checkCapacity(SMALL, [], tmpdir())
})

test('checkCapacity() counts memory that is promised to others and not yet used', async () => {
  const promised = { memoryMiB: 1 << 30, pid: undefined }
  await assert.rejects(
    checkCapacity(SMALL, [promised], tmpdir()),
    isCode('host.memory-insufficient'),
  )
})

test('checkCpus() refuses more vCPUs than the host can emulate in time', () => {
  checkCpus(1)
  assert.throws(() => checkCpus(10_000), isCode('host.cpus-insufficient'))
})
