import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toHex } from '../bytes/hex.ts'
import { fromUtf8, toUtf8 } from '../bytes/text.ts'
import { bundleEndorsements, encodeBundle, parseBundle } from '../endorsements/bundle.ts'
import { parseCollateralJson } from '../dcap/collateral-json.ts'
import { parseQuote } from '../dcap/quote.ts'
import { encodePem } from '../formats/pem.ts'
import { appraiseTdx } from '../tdx/appraise.ts'
import { FAKE_PCK, FAKE_TD, FakeIntel } from '../testing/fake-intel.ts'
import { FakeServices } from '../testing/fake-services.ts'
import { WITH_VECTORS, vector } from '../testing/vectors.ts'
import { EndorsementClient } from './endorsement-client.ts'
import { EndorsementFetchError } from './fetch-error.ts'
import type { FetchErrorCode } from './fetch-error.ts'
import { fetchBundle } from './fetch-bundle.ts'
import {
  fetchDcapEndorsements,
  fetchPckRevocationList,
  fetchQeIdentity,
  fetchRootRevocationList,
  fetchTcbInfo,
} from './intel-pcs.ts'

const NOW = new Date('2025-07-01T00:00:00Z')
const FMSPC = 'b0c06f000000'
const PATHS = {
  tcb: `/tdx/certification/v4/tcb?fmspc=${FMSPC}`,
  identity: '/tdx/certification/v4/qe/identity',
  pckList: '/sgx/certification/v4/pckcrl?ca=platform&encoding=der',
  rootList: '/sgx/certification/v4/rootcacrl',
} as const

const newClient = (now = NOW) =>
  new EndorsementClient({ fetch, spacingMs: 0, attempts: 1, now: () => now.getTime() })

async function fails(answer: Promise<unknown>, code: FetchErrorCode): Promise<void> {
  await assert.rejects(
    answer,
    (error) => error instanceof EndorsementFetchError && error.code === code,
    code,
  )
}

/** The recorded collateral of one platform, served as Intel's service and its caches do. */
function recorded() {
  const bytes = vector('tdx/v4-b0c0/collateral.json')
  const json = JSON.parse(fromUtf8('test', 'text', bytes)) as Record<string, string>
  const { tcbInfos = [], qeIdentities = [] } = parseCollateralJson(bytes)
  const chain = (name: string) => encodeURIComponent(json[name] ?? '')
  return {
    [PATHS.tcb]: {
      body: tcbInfos[0] ?? '',
      headers: { 'TCB-Info-Issuer-Chain': chain('tcb_info_issuer_chain') },
    },
    [PATHS.identity]: {
      body: qeIdentities[0] ?? '',
      headers: { 'SGX-Enclave-Identity-Issuer-Chain': chain('qe_identity_issuer_chain') },
    },
    [PATHS.pckList]: {
      body: Buffer.from(json['pck_crl'] ?? '', 'hex'),
      headers: { 'SGX-PCK-CRL-Issuer-Chain': chain('pck_crl_issuer_chain') },
    },
    // A PCCS sends it in hex.
    [PATHS.rootList]: { body: json['root_ca_crl'] ?? '' },
  }
}

test(
  'what was fetched for a quote makes it affirming, from a bundle years later too',
  WITH_VECTORS,
  async () => {
    await using services = await FakeServices.start(recorded())
    const quote = vector('tdx/v4-b0c0/quote.bin')
    const pcs = { address: services.address }
    const bundle = await fetchBundle('tdx', quote, { client: newClient(), pcs })
    assert.deepEqual(bundle.subject, {
      fmspc: FMSPC,
      pceId: '0000',
      ca: 'platform',
      update: 'standard',
    })
    assert.equal(services.requests.length, 4)
    const endorsements = bundleEndorsements(parseBundle(encodeBundle(bundle)))
    const expect = Object.fromEntries(
      ['reportData', 'mrTd', 'mrConfigId', 'rtmr0', 'rtmr1', 'rtmr2', 'rtmr3'].map((name) => [
        name,
        'any',
      ]),
    ) as never
    const judged = await appraiseTdx(quote, { expect, endorsements, now: NOW })
    assert.equal(
      judged.status,
      'affirming',
      JSON.stringify(judged.checks.filter((c) => c.outcome !== 'pass')),
    )
    const late = await appraiseTdx(quote, { expect, endorsements, now: new Date('2027-01-01') })
    assert.equal(late.status, 'none')
  },
)

test('update=early is asked for TCB info and identity alone', WITH_VECTORS, async () => {
  const routes = recorded()
  await using services = await FakeServices.start({
    ...routes,
    [`${PATHS.tcb}&update=early`]: routes[PATHS.tcb] ?? {},
    [`${PATHS.identity}?update=early`]: routes[PATHS.identity] ?? {},
  })
  const options = { client: newClient(), address: services.address, update: 'early' } as const
  await fetchDcapEndorsements(vector('tdx/v4-b0c0/quote.bin'), options)
  assert.deepEqual(
    services.requests.map(({ path }) => path),
    [`${PATHS.tcb}&update=early`, `${PATHS.identity}?update=early`, PATHS.pckList, PATHS.rootList],
  )
})

test(
  "collateral that is not Intel's, of something else or out of date is refused",
  WITH_VECTORS,
  async () => {
    const good = recorded()
    const tcb = good[PATHS.tcb]
    const identity = good[PATHS.identity]
    await using services = await FakeServices.start(good)
    const options = { client: newClient(), address: services.address }
    const withTcb = async (route: Parameters<FakeServices['set']>[1], code: FetchErrorCode) => {
      services.set(PATHS.tcb, route)
      await fails(fetchTcbInfo('tdx', FMSPC, { ...options, client: newClient() }), code)
    }
    const text = fromUtf8('test', 'text', tcb?.body as Uint8Array)
    await withTcb(
      { ...tcb, body: text.replace('"UpToDate"', '"Revoked"') },
      'fetch.content-unsigned',
    )
    await withTcb({ ...tcb, body: text.slice(0, 500) }, 'fetch.content-malformed')
    await withTcb({ ...tcb, body: '<html></html>' }, 'fetch.content-malformed')
    await withTcb({ ...tcb, body: '{}' }, 'fetch.content-malformed')
    await withTcb({ ...tcb, headers: {} }, 'fetch.content-malformed')
    await withTcb({ ...tcb, headers: { 'TCB-Info-Issuer-Chain': '%' } }, 'fetch.content-malformed')
    await withTcb({ ...tcb, headers: { 'TCB-Info-Issuer-Chain': 'x' } }, 'fetch.content-malformed')
    const fake = new FakeIntel()
    const foreign = encodeURIComponent(
      [fake.tcbSigning, fake.rootCertificate].map((der) => encodePem('CERTIFICATE', der)).join(''),
    )
    await withTcb(
      { ...tcb, headers: { 'TCB-Info-Issuer-Chain': foreign } },
      'fetch.content-unsigned',
    )
    services.set(PATHS.tcb, tcb ?? {})
    await fails(
      fetchTcbInfo('tdx', FMSPC, { ...options, client: newClient(new Date('2027-01-01')) }),
      'fetch.content-expired',
    )
    // TCB info of another platform, and where the identity should be.
    services.set('/tdx/certification/v4/tcb?fmspc=00806f050000', tcb ?? {})
    await fails(
      fetchTcbInfo('tdx', '00806f050000', { ...options, client: newClient() }),
      'fetch.content-mismatch',
    )
    services.set('/sgx/certification/v4/qe/identity', identity ?? {})
    await fails(
      fetchQeIdentity('sgx', { ...options, client: newClient() }),
      'fetch.content-mismatch',
    )
  },
)

test("revocation lists are Intel's, in DER or hex, or refused", WITH_VECTORS, async () => {
  const good = recorded()
  const list = good[PATHS.pckList]
  await using services = await FakeServices.start(good)
  const { address } = services
  const der = list?.body as Uint8Array
  const ask = (body: Uint8Array | string, headers = list?.headers) => {
    services.set(PATHS.pckList, { body, headers: headers ?? {} })
    return fetchPckRevocationList('platform', { client: newClient(), address })
  }
  assert.deepEqual(Buffer.from((await ask(der)).statement), Buffer.from(der))
  assert.deepEqual(Buffer.from((await ask(toHex(der))).statement), Buffer.from(der))
  await fails(ask('deadbeef'), 'fetch.content-malformed')
  await fails(ask(''), 'fetch.content-malformed')
  const flipped = Uint8Array.from(der)
  flipped[flipped.length - 1] = (flipped[flipped.length - 1] ?? 0) ^ 1
  await fails(ask(flipped), 'fetch.content-unsigned')
  await fails(ask(Buffer.from(good[PATHS.rootList]?.body ?? '', 'hex')), 'fetch.content-mismatch')
  services.set('/sgx/certification/v4/pckcrl?ca=processor&encoding=der', list ?? {})
  await fails(
    fetchPckRevocationList('processor', { client: newClient(), address }),
    'fetch.content-mismatch',
  )
  // Without the root among the certificates nobody can say whose list it is.
  await fails(fetchRootRevocationList({ client: newClient(), address }), 'fetch.content-unsigned')
})

test("a quote that only names its PCK certificate has it fetched, with the subscriber's key", async () => {
  const intel = new FakeIntel()
  const from = new Date('2026-01-01')
  const until = new Date('2026-12-01')
  const now = new Date('2026-06-01')
  const { revocationLists, tcbInfos, qeIdentities } = intel.endorsements('tdx', from, until)
  const pem = (...ders: Uint8Array[]) =>
    encodeURIComponent(ders.map((der) => encodePem('CERTIFICATE', der)).join(''))
  const signers = pem(intel.tcbSigning, intel.rootCertificate)
  const issuers = pem(intel.caCertificate, intel.rootCertificate)
  const ppid = new Uint8Array(384).fill(9)
  const certification = {
    type: 3,
    data: Uint8Array.from([...ppid, ...FAKE_PCK.cpuSvn, FAKE_PCK.pceSvn, 0, 0, 0]),
  }
  const quote = intel.quote({ kind: 'tdx', report: FAKE_TD }, { certification })
  const query = `encrypted_ppid=${toHex(ppid)}&cpusvn=${toHex(FAKE_PCK.cpuSvn)}&pcesvn=${toHex(Uint8Array.of(FAKE_PCK.pceSvn, 0))}&pceid=0000`
  await using services = await FakeServices.start({
    [`/sgx/certification/v4/pckcert?${query}`]: ({ headers }) =>
      headers['ocp-apim-subscription-key'] === 'key'
        ? {
            body: encodePem('CERTIFICATE', intel.pckCertificate()),
            headers: { 'SGX-PCK-Certificate-Issuer-Chain': issuers },
          }
        : { status: 401 },
    [`/tdx/certification/v4/tcb?fmspc=${FAKE_PCK.fmspc}`]: {
      body: tcbInfos[0] ?? '',
      headers: { 'SGX-TCB-Info-Issuer-Chain': signers },
    },
    [PATHS.identity]: {
      body: qeIdentities[0] ?? '',
      headers: { 'SGX-Enclave-Identity-Issuer-Chain': signers },
    },
    [PATHS.pckList]: {
      body: revocationLists[1] ?? '',
      headers: { 'SGX-PCK-CRL-Issuer-Chain': issuers },
    },
    '/root.der': { body: revocationLists[0] ?? '' },
  })
  const { address } = services
  const options = {
    client: newClient(now),
    address,
    rootListAddress: `${address}/root.der`,
    root: intel.root,
  }
  await fails(fetchDcapEndorsements(quote, options), 'fetch.unauthorized')
  const found = await fetchDcapEndorsements(quote, { ...options, subscriptionKey: 'key' })
  assert.equal(found.platform.fmspc, FAKE_PCK.fmspc)
  const expect = Object.fromEntries(
    ['reportData', 'mrTd', 'mrConfigId', 'rtmr0', 'rtmr1', 'rtmr2', 'rtmr3'].map((name) => [
      name,
      'any',
    ]),
  ) as never
  const { platform: _, ...endorsements } = found
  const judged = await intel.appraiseTdx(quote, { expect, endorsements, now })
  assert.equal(
    judged.status,
    'affirming',
    JSON.stringify(judged.checks.filter((c) => c.outcome !== 'pass')),
  )
})

test('a quote that cannot be read is an error before anything is asked', async () => {
  await using services = await FakeServices.start({})
  const options = { client: newClient(), address: services.address }
  await fails(fetchDcapEndorsements(toUtf8('no quote'), options), 'fetch.subject-unknown')
  assert.deepEqual(services.requests, [])
  assert.throws(() => parseQuote(toUtf8('no quote')))
})
