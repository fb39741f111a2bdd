import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startTestBroker } from '@cloister/broker/testing/test-broker'
import { CloisterError } from '@cloister/protocol/error'
import { BrokerClient } from '../owner/broker-client.ts'
import { requireFitBroker } from './fit-broker.ts'

const ROOT = 'ab'.repeat(32)
const value = Buffer.from('x').toString('base64')

test('requireFitBroker() refuses what the broker would refuse later, and names no option that vm create lacks', async () => {
  await using t = await startTestBroker()
  const { url, spki, tokenSigner } = t.broker
  const broker = new BrokerClient({ url, spki: [spki], tokenSigner }, t.adminKey)
  for (const tee of ['tdx', 'simulated'] as const)
    await requireFitBroker({ tee, keepsSecrets: true }, broker)

  await broker.putSecret('a/b/real', { value, allowSimulated: false })
  await requireFitBroker({ tee: 'snp', keepsSecrets: true }, broker)
  await refused({ tee: 'simulated', keepsSecrets: false }, broker)
  await assert.rejects(broker.pinSimulatedRoot(ROOT), { code: 'broker.simulated.secrets' })

  await broker.removeSecret('a/b/real')
  await broker.pinSimulatedRoot(ROOT)
  await requireFitBroker({ tee: 'simulated', keepsSecrets: true }, broker)
  await requireFitBroker({ tee: 'tdx', keepsSecrets: false }, broker)
  await refused({ tee: 'tdx', keepsSecrets: true }, broker)
})

async function refused(
  vm: Parameters<typeof requireFitBroker>[0],
  broker: BrokerClient,
): Promise<void> {
  await assert.rejects(requireFitBroker(vm, broker), (error) => {
    assert.ok(error instanceof CloisterError)
    assert.equal(error.code, 'broker.simulated.secrets')
    assert.doesNotMatch(error.toJSON().fix.join('\n'), /--allow-simulated/)
    return true
  })
}
