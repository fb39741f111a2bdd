import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { VmView } from '@cloister/protocol/hostd-vm-api'
import { pinBroker } from '../owner/pinned-broker.ts'
import { brokerTargets, targetsOfNow } from './broker-targets.ts'

const vms = (boot: VmView['boot']) => ({
  vms: { get: async () => await Promise.resolve({ boot } as VmView) },
})

test('targetsOfNow() leads a VM with a measured boot to where the broker was pinned last', async () => {
  const owner = mkdtempSync(join(tmpdir(), 'cloister-targets-'))
  try {
    const invocation = { directories: { owner }, signal: new AbortController().signal } as never
    const ask = async (boot: VmView['boot']) => await targetsOfNow('box', vms(boot), invocation)
    assert.deepEqual(await ask('measured'), {}, 'there is no broker yet')
    const broker = { spki: ['ab'.repeat(32)], tokenSigner: '' }
    for (const port of [8465, 41234]) {
      pinBroker({ owner }, { ...broker, url: `https://127.0.0.1:${port}` })
      assert.deepEqual(await ask('measured'), { broker: { tcp: `127.0.0.1:${port}` } })
    }
    assert.deepEqual(await ask('firmware'), {}, 'no guest of ours asks for a broker there')
  } finally {
    rmSync(owner, { recursive: true })
  }
})

test("brokerTargets() names the port, also https's own, and keeps IPv6 in brackets", () => {
  const addresses = ['https://broker', 'https://broker:443', 'https://[::1]:8465'].map(
    (url) => brokerTargets({ url })['broker'],
  )
  assert.deepEqual(addresses, [{ tcp: 'broker:443' }, { tcp: 'broker:443' }, { tcp: '[::1]:8465' }])
})
