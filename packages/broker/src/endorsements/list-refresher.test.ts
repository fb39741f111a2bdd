import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { BrokerStatusSchema, type BrokerStatus } from '@cloister/protocol/broker-admin-api'
import { FakeAmd } from '@cloister/verifier/testing/fake-amd'
import { FAKE_PCK, fakeQeIdentity, fakeTcbInfo } from '@cloister/verifier/testing/fake-intel'
import { FakeServices } from '@cloister/verifier/testing/fake-services'
import { Database } from '../storage/database.ts'
import { TrustSettings } from '../storage/trust-settings.ts'
import { ListRefresher } from './list-refresher.ts'
import { FakeGuest, fakeInitdata } from '../testing/fake-guest.ts'
import { FakeIntel } from '@cloister/verifier/testing/fake-intel'
import { encodePem } from '@cloister/verifier/formats/pem'
import { giveCollateral } from '../testing/fake-td.ts'
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
    appraisers: { snp: amd.appraise.bind(amd) },
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
  const audit = (await t.owner('GET', '/audit')) as { entries: { leaf: string }[] }
  assert.equal(
    audit.entries.filter(({ leaf }) => leaf.includes('"revocation-list.fetch')).length,
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

/** What Intel's service serves, of that evaluation in the TCB info. */
function intelServes(intel: FakeIntel, evaluation: number) {
  const chainOf = (...certificates: readonly Uint8Array[]) =>
    encodeURIComponent(certificates.map((der) => encodePem('CERTIFICATE', der)).join(''))
  const chain = chainOf(intel.tcbSigning, intel.rootCertificate)
  return FakeServices.start({
    [TCB_PATH]: {
      body: intel.statement('tcbInfo', {
        ...fakeTcbInfo('tdx', at(-0.5), at(48)),
        tcbEvaluationDataNumber: evaluation,
      }),
      headers: { 'TCB-Info-Issuer-Chain': chain },
    },
    '/tdx/certification/v4/qe/identity': {
      body: intel.statement('enclaveIdentity', fakeQeIdentity('tdx', at(-0.5), at(48))),
      headers: { 'SGX-Enclave-Identity-Issuer-Chain': chain },
    },
    '/sgx/certification/v4/pckcrl?ca=platform&encoding=der': {
      body: intel.list('ca', at(-1), at(48)),
      headers: { 'SGX-PCK-CRL-Issuer-Chain': chainOf(intel.caCertificate, intel.rootCertificate) },
    },
    '/sgx/certification/v4/rootcacrl': { body: intel.list('root', at(-1), at(48)) },
  })
}

const TCB_PATH = `/tdx/certification/v4/tcb?fmspc=${FAKE_PCK.fmspc}`

/** The status of a broker that was given collateral of an hour and has fetched then. */
async function statusAfterRenewal(
  intel: FakeIntel,
  { address }: Pick<FakeServices, 'address'>,
): Promise<BrokerStatus> {
  const directory = mkdtempSync(join(tmpdir(), 'cloister-broker-test-'))
  try {
    {
      await using t = await startTestBroker({ directory })
      await giveCollateral(t, intel)
    }
    await using t = await startTestBroker({
      directory,
      fetchEndorsements: { address, lines: [], intel: { address, root: intel.root } },
    })
    return await statusOnceFetched(t)
  } finally {
    rmSync(directory, { recursive: true })
  }
}

test('a broker that fetches makes the collateral that it was given new, and asks for no other', async () => {
  const intel = new FakeIntel()
  await using services = await intelServes(intel, 17)
  const { fetchesEndorsements, intelCollateral } = await statusAfterRenewal(intel, services)
  assert.deepEqual(fetchesEndorsements?.problems, [])
  assert.equal(intelCollateral.length, 1)
  // Its statements have no fractions of a second.
  assert.ok((intelCollateral[0]?.expires ?? 0) > NOW + 47 * HOUR_MS)
  assert.ok(services.requests.every(({ path }) => !path.includes('fmspc') || path === TCB_PATH))
})

test('collateral of an earlier evaluation is a problem in the status, and takes no place', async () => {
  const intel = new FakeIntel()
  await using services = await intelServes(intel, 16)
  const { fetchesEndorsements, intelCollateral } = await statusAfterRenewal(intel, services)
  assert.deepEqual(fetchesEndorsements?.problems, [
    `TDX ${FAKE_PCK.fmspc} platform: broker.collateral-earlier`,
  ])
  assert.ok((intelCollateral[0]?.expires ?? 0) < NOW + 2 * HOUR_MS)
})

test('each list has its own turn: one that fails, even by a defect, keeps no other waiting, and waits longer each time', async () => {
  let time = NOW
  const asked: string[] = []
  const bugs: unknown[] = []
  const amd = new FakeAmd()
  const lists = {
    vcek: amd.revocationList(at(-1), at(48), [7]),
    vlek: amd.revocationList(at(-1), at(48)),
  }
  const trust = {
    intelBundles: () => [],
    hasRevocationList: (der: Uint8Array) => {
      const isBroken = Buffer.compare(der, lists.vcek) === 0
      asked.push(isBroken ? 'vcek' : 'vlek')
      if (isBroken) throw new TypeError('a defect')
      return true
    },
  } as unknown as TrustSettings
  const parts = {
    trust,
    audit: {} as never,
    now: () => time,
    onBug: (bug: unknown) => bugs.push(bug),
  }
  await using refresher = new ListRefresher(parts, {
    lines: ['Genoa'],
    roots: [amd.ark],
    fetch: (url) =>
      Promise.resolve(new Response(Buffer.from(url.includes('/vcek/') ? lists.vcek : lists.vlek))),
  })
  for (const [minutes, due] of [
    [0, ['vcek', 'vlek']],
    [10, []],
    [7, ['vcek']],
    [20, []],
    [14, ['vcek']],
    [40, []],
    [27, ['vcek']],
    [100, []],
    [33, ['vcek']],
    // Two hours from then on.
    [134, ['vcek']],
    [13 * 60, ['vcek', 'vlek']],
  ] as const) {
    time += minutes * 60_000
    asked.length = 0
    const { problems } = await refresher.refresh()
    assert.deepEqual(asked, due, `after ${minutes} minutes`)
    assert.deepEqual(problems, ['Genoa vcek: internal.bug'])
  }
  assert.equal(bugs.length, 7)
})
