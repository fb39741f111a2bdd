import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { BrokerStatusSchema, type BrokerStatus } from '@cloister/protocol/broker-admin-api'
import { FakeAmd } from '@cloister/verifier/testing/fake-amd'
import { FakeServices } from '@cloister/verifier/testing/fake-services'
import { Database } from '../storage/database.ts'
import { TrustSettings } from '../storage/trust-settings.ts'
import { FakeGuest, fakeInitdata } from '../testing/fake-guest.ts'
import {
  registerDemo,
  SECRET_PATH,
  startTestBroker,
  type TestBroker,
} from '../testing/test-broker.ts'

const HOUR_MS = 3_600_000
const NOW = Date.now()
const at = (hours: number) => new Date(NOW + hours * HOUR_MS)

async function statusOnceFetched(t: TestBroker): Promise<BrokerStatus> {
  for (let waited = 0; waited < 5000; waited += 20) {
    const status = BrokerStatusSchema.parse(await t.owner('GET', '/status'))
    if (status.fetchesEndorsements?.roundAt !== null) return status
    await sleep(20)
  }
  return assert.fail('no round ended')
}

/** A broker that takes the fake AMD for AMD and asks the fake services for its lists. */
function brokerFetching(amd: FakeAmd, services: FakeServices) {
  return startTestBroker({
    appraiseReport: amd.appraise.bind(amd),
    fetchEndorsements: { address: services.address, roots: [amd.ark], lines: ['Genoa'] },
  })
}

test('a broker that fetches has a list for evidence that brings none', async () => {
  const amd = new FakeAmd()
  const list = amd.revocationList(at(-1), at(24))
  await using services = await FakeServices.start({
    '/vcek/v1/Genoa/crl': { body: list },
    '/vlek/v1/Genoa/crl': { body: list },
  })
  await using t = await brokerFetching(amd, services)
  const status = await statusOnceFetched(t)
  assert.deepEqual(status.fetchesEndorsements?.problems, [])
  assert.deepEqual(status.revocationLists.length, 1)
  assert.match(status.revocationLists[0]?.issuer ?? '', /ARK-Genoa/)
  const initdata = fakeInitdata()
  await registerDemo(t, { initdata, value: Buffer.from('s'), anchors: 'amd', mode: 'hardware' })
  const guest = new FakeGuest({ amd, initdata, revocationLists: [] })
  assert.deepEqual(await t.client.resource(guest, SECRET_PATH), Buffer.from('s'))
  const audit = (await t.owner('GET', '/audit')) as { entries: { subject?: string }[] }
  assert.equal(
    audit.entries.filter(({ subject }) => subject?.startsWith('revocation-list.fetch')).length,
    1,
  )
})

test('what AMD cannot give, or nobody signed, is a problem in the status and no list', async () => {
  const amd = new FakeAmd()
  const foreign = new FakeAmd().revocationList(at(-1), at(24))
  await using services = await FakeServices.start({ '/vcek/v1/Genoa/crl': { body: foreign } })
  await using t = await brokerFetching(amd, services)
  const status = await statusOnceFetched(t)
  assert.deepEqual(status.fetchesEndorsements?.problems, [
    'Genoa vcek: fetch.content-unsigned',
    'Genoa vlek: fetch.not-found',
  ])
  assert.deepEqual(status.revocationLists, [])
})

test('a newer list takes the place of the one before, unless that one revokes more', () => {
  const amd = new FakeAmd()
  const directory = mkdtempSync(join(tmpdir(), 'cloister-lists-'))
  const database = new Database(join(directory, 'broker.db'))
  try {
    const trust = new TrustSettings(database)
    const lists = [
      amd.revocationList(at(-5), at(1), [3]),
      amd.revocationList(at(-4), at(24), [2]),
      new FakeAmd({ line: 'Milan' }).revocationList(at(-4), at(24)),
      amd.revocationList(at(-2), at(24), [3]),
    ]
    for (const list of lists.slice(0, 3)) trust.replaceRevocationList(list)
    assert.equal(trust.revocationLists().length, 3)
    for (const list of lists.slice(3)) trust.replaceRevocationList(list)
    const kept = new TrustSettings(database)
    assert.deepEqual(
      lists.map((list) => kept.hasRevocationList(list)),
      [false, true, true, true],
    )
  } finally {
    database.close()
    rmSync(directory, { recursive: true })
  }
})

test('the owner cannot bring what is no list: it would make every attestation fail', async () => {
  await using t = await startTestBroker()
  const answer = await t.admin('PUT', '/revocation-lists', { der: 'AAAA' })
  assert.equal(answer.status, 400)
})

test('a broker that nobody told to fetch says so and asks nobody', async () => {
  await using t = await startTestBroker()
  const status = BrokerStatusSchema.parse(await t.owner('GET', '/status'))
  assert.equal(status.fetchesEndorsements, null)
})
