import { tmpdir } from 'node:os'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isCode } from '@cloister/protocol/testing'
import { checkCapacity } from './capacity.ts'

const SMALL = { cpus: 1, memoryMiB: 1, scratchMiB: 1 }

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

test('checkCapacity() refuses more vCPUs than the host can emulate in time', async () => {
  await assert.rejects(
    checkCapacity({ ...SMALL, cpus: 10_000 }, [], tmpdir()),
    isCode('host.cpus-insufficient'),
  )
})
