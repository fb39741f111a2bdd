import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { readAuditLeaf } from '@cloister/protocol/audit-entry'
import { AuditListSchema } from '@cloister/protocol/broker-admin-api'
import { FakeAmd } from '@cloister/verifier/testing/fake-amd'
import { FakeGuest, fakeInitdata } from './testing/fake-guest.ts'
import { registerDemo, SECRET_PATH, startTestBroker } from './testing/test-broker.ts'

const HOUR_MS = 3_600_000

test('a registered guest on (fake) AMD hardware gets its secret in one handshake', async () => {
  const amd = new FakeAmd()
  const appraisers = { snp: amd.appraise.bind(amd) }
  await using t = await startTestBroker({ appraisers })
  const value = randomBytes(24)
  const initdata = fakeInitdata()
  await registerDemo(t, { initdata, value })
  const now = Date.now()
  const list = amd.revocationList(new Date(now - HOUR_MS), new Date(now + HOUR_MS))
  for (const keyType of ['P-256', 'P-521', 'RSA'] as const) {
    const guest = new FakeGuest({ amd, initdata, revocationLists: [list], keyType })
    assert.deepEqual(await t.client.resource(guest, SECRET_PATH), value)
  }
})

test('a registered guest on a pinned simulated processor gets a secret that allows it', async () => {
  const amd = new FakeAmd({ names: 'simulated' })
  await using t = await startTestBroker({ simulatedRoots: [amd.fingerprint] })
  const value = randomBytes(24)
  const initdata = fakeInitdata()
  await registerDemo(t, { initdata, value, anchors: 'simulated', mode: 'simulated' })
  const guest = new FakeGuest({ amd, initdata })
  assert.deepEqual(await t.client.resource(guest, SECRET_PATH), value)
})

test('a second broker on the same directory is refused and leaves the first one its audit', async () => {
  const amd = new FakeAmd({ names: 'simulated' })
  await using t = await startTestBroker({ simulatedRoots: [amd.fingerprint] })
  const initdata = fakeInitdata()
  await registerDemo(t, {
    initdata,
    value: Buffer.from('s'),
    anchors: 'simulated',
    mode: 'simulated',
  })
  const guest = new FakeGuest({ amd, initdata })
  await t.client.resource(guest, SECRET_PATH)
  const journal = join(t.directory, 'audit.journal')
  const waiting = readFileSync(journal)
  assert.equal(waiting.toString().split('\n').length - 1, 2)
  await assert.rejects(startTestBroker({ directory: t.directory }), { code: 'broker.storage' })
  assert.deepEqual(readFileSync(journal), waiting)
  await t.client.resource(guest, SECRET_PATH)
  const list = AuditListSchema.parse(await t.owner('GET', '/audit?workload=demo&limit=9'))
  assert.equal(list.entries.map(readAuditLeaf).filter(({ kind }) => kind !== 'admin').length, 4)
  await t.broker.stop()
  assert.equal(readFileSync(journal).length, 0)
})
