import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startTestBroker } from '@cloister/broker/testing/test-broker'
import { FakeAmd } from '@cloister/verifier/testing/fake-amd'
import { BrokerClient } from './broker-client.ts'

const HOUR_MS = 3_600_000

test('platforms, revocation lists and instances by the owner’s key', async () => {
  await using t = await startTestBroker()
  const { url, spki, tokenSigner } = t.broker
  const client = new BrokerClient({ url, spki: [spki], tokenSigner }, t.adminKey)
  const id = 'ab'.repeat(64)
  await client.enrollPlatform(id)
  assert.deepEqual(
    (await client.platforms()).map(({ chipId }) => chipId),
    [id],
  )
  await client.removePlatform(id)
  assert.deepEqual(await client.platforms(), [])
  await assert.rejects(client.removePlatform(id), { code: 'broker.not-found' })
  await assert.rejects(client.enrollPlatform('../status'), { code: 'request.malformed' })
  const now = Date.now()
  const list = new FakeAmd().revocationList(new Date(now - HOUR_MS), new Date(now + HOUR_MS))
  await client.putRevocationList(list)
  assert.match((await client.status()).revocationLists[0]?.issuer ?? '', /ARK-Genoa/)
  await assert.rejects(client.putRevocationList(Buffer.from('x')), { code: 'request.malformed' })
  assert.deepEqual(await client.instances(), [])
  assert.equal(await client.endInstance('ab'.repeat(32)), false)
})
