import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromHex } from '../bytes/hex.ts'
import { bundleEndorsements, encodeBundle, parseBundle } from '../endorsements/bundle.ts'
import { encodePem, parsePem } from '../formats/pem.ts'
import { encodeSnpReport, parseSnpReport } from '../snp/report.ts'
import { readTcb } from '../snp/tcb.ts'
import { FakeAmd } from '../testing/fake-amd.ts'
import { FakeServices } from '../testing/fake-services.ts'
import { WITH_VECTORS, vector } from '../testing/vectors.ts'
import {
  fetchAmdChain,
  fetchAmdRevocationList,
  fetchSnpEndorsements,
  fetchVcek,
  vcekUrl,
} from './amd-kds.ts'
import { EndorsementClient } from './endorsement-client.ts'
import { EndorsementFetchError } from './fetch-error.ts'
import type { FetchErrorCode } from './fetch-error.ts'
import { fetchBundle } from './fetch-bundle.ts'
import { fetchThimCertificates } from './azure-thim.ts'

const NOW = new Date('2026-06-01T00:00:00Z')
const THIS_UPDATE = new Date('2026-05-01')
const NEXT_UPDATE = new Date('2026-07-01')

const newClient = () =>
  new EndorsementClient({ fetch, spacingMs: 0, attempts: 1, now: () => NOW.getTime() })

async function fails(answer: Promise<unknown>, code: FetchErrorCode): Promise<void> {
  await assert.rejects(
    answer,
    (error) => error instanceof EndorsementFetchError && error.code === code,
    code,
  )
}

test('vcekUrl() asks by whole chip id and two digits, on Turin by 8 bytes and with the FMC', () => {
  const chipId = new Uint8Array(64).fill(0xab)
  const tcb = { fmc: null, bootloader: 4, tee: 0, snp: 24, microcode: 219 }
  assert.equal(
    vcekUrl({ line: 'Milan', chipId, tcb }),
    `https://kdsintf.amd.com/vcek/v1/Milan/${'ab'.repeat(64)}?blSPL=04&teeSPL=00&snpSPL=24&ucodeSPL=219`,
  )
  assert.equal(
    vcekUrl({ line: 'Turin', chipId, tcb: { ...tcb, fmc: 1 } }),
    'https://kdsintf.amd.com/vcek/v1/Turin/abababababababab?fmcSPL=01&blSPL=04&teeSPL=00&snpSPL=24&ucodeSPL=219',
  )
})

test(
  'fetchVcek() takes the VCEK of that chip and TCB, and nothing else',
  WITH_VECTORS,
  async () => {
    const report = parseSnpReport(vector('snp/genoa-v5/report.bin'))
    const tcb = readTcb(report.reportedTcb, 'Genoa')
    const chip = { line: 'Genoa', chipId: report.chipId, tcb } as const
    const vcek = vector('snp/genoa-v5/vcek.der')
    const path = vcekUrl(chip, '')
    await using services = await FakeServices.start({ [path]: { body: vcek } })
    const { address } = services
    assert.deepEqual(await fetchVcek(chip, { client: newClient(), address }), vcek)

    const answers: readonly (readonly [Uint8Array | string, FetchErrorCode])[] = [
      ['<html><body>Too many requests</body></html>', 'fetch.content-malformed'],
      [vcek.subarray(0, 600), 'fetch.content-malformed'],
      [vector('snp/milan-v2-azure/vcek.der'), 'fetch.content-mismatch'],
      [vector('snp/milan-v3-vlek/vlek.der'), 'fetch.content-mismatch'],
      [new Uint8Array(9000), 'fetch.too-large'],
      ['', 'fetch.content-malformed'],
    ]
    for (const [body, code] of answers) {
      services.set(path, { body })
      await fails(fetchVcek(chip, { client: newClient(), address }), code)
    }
  },
)

test(
  'fetchVcek() asks for a Turin chip by its 8 bytes and knows its VCEK',
  WITH_VECTORS,
  async () => {
    const vcek = vector('snp/turin-cert/vcek.der')
    const chipId = new Uint8Array(64)
    chipId.set(fromHex('1e550a8ee5cf9f4d'))
    const tcb = { fmc: 0, bootloader: 0, tee: 0, snp: 0, microcode: 9 }
    await using services = await FakeServices.start({
      [vcekUrl({ line: 'Turin', chipId, tcb }, '')]: { body: vcek },
    })
    const { address } = services
    const chip = { line: 'Turin', chipId, tcb } as const
    assert.deepEqual(await fetchVcek(chip, { client: newClient(), address }), vcek)
  },
)

test('fetchAmdChain() takes ASK and ARK of that line in PEM', WITH_VECTORS, async () => {
  const pem = vector('snp/turin-cert/cert_chain.pem')
  await using services = await FakeServices.start({
    '/vcek/v1/Turin/cert_chain': { body: pem },
    '/vcek/v1/Genoa/cert_chain': { body: pem },
    '/vlek/v1/Turin/cert_chain': { body: pem },
  })
  const options = { client: newClient(), address: services.address }
  assert.equal((await fetchAmdChain('Turin', 'vcek', options)).length, 2)
  await fails(fetchAmdChain('Genoa', 'vcek', options), 'fetch.content-mismatch')
  await fails(fetchAmdChain('Turin', 'vlek', options), 'fetch.content-mismatch')
})

test('fetchAmdRevocationList() takes a list that the ARK signed and that is in date', async () => {
  const amd = new FakeAmd()
  const other = new FakeAmd()
  const list = amd.revocationList(THIS_UPDATE, NEXT_UPDATE)
  await using services = await FakeServices.start({})
  const fetchList = (body: Uint8Array | string) => {
    services.set('/vcek/v1/Genoa/crl', { body })
    const { address } = services
    const roots = [amd.ark]
    return fetchAmdRevocationList('Genoa', 'vcek', { client: newClient(), address, roots })
  }
  assert.deepEqual(await fetchList(list), new Uint8Array(list))
  await fails(fetchList(other.revocationList(THIS_UPDATE, NEXT_UPDATE)), 'fetch.content-unsigned')
  await fails(fetchList(amd.revocationList(THIS_UPDATE, THIS_UPDATE)), 'fetch.content-expired')
  const milan = new FakeAmd({ line: 'Milan' }).revocationList(THIS_UPDATE, NEXT_UPDATE)
  await fails(fetchList(milan), 'fetch.content-mismatch')
  await fails(fetchList(list.subarray(0, 100)), 'fetch.content-malformed')
  await fails(fetchList('deadbeef'), 'fetch.content-malformed')
  await fails(fetchList(''), 'fetch.content-malformed')
  const flipped = list.slice()
  flipped[list.length - 1] = (flipped[list.length - 1] ?? 0) ^ 1
  await fails(fetchList(flipped), 'fetch.content-unsigned')
})

/** AMD as a service, for the Genoa sample's chip: a genuine VCEK, and a list under a root of our own. */
async function genoaServices(amd: FakeAmd) {
  const report = vector('snp/genoa-v5/report.bin')
  const { chipId, reportedTcb } = parseSnpReport(report)
  const tcb = readTcb(reportedTcb, 'Genoa')
  return FakeServices.start({
    [vcekUrl({ line: 'Genoa', chipId, tcb }, '')]: { body: vector('snp/genoa-v5/vcek.der') },
    '/vcek/v1/Genoa/cert_chain': {
      body: genoaChain(),
    },
    '/vcek/v1/Genoa/crl': { body: amd.revocationList(THIS_UPDATE, NEXT_UPDATE) },
  })
}

/** The sample's file has ASK, ARK, ASVK; the service sends the first two. */
function genoaChain(): string {
  const pem = new TextDecoder().decode(vector('snp/bundles/genoa_ask_ark_asvk.pem'))
  return parsePem(pem)
    .slice(0, 2)
    .map(({ der }) => encodePem('CERTIFICATE', der))
    .join('')
}

test(
  'fetchBundle() makes a bundle of what an SNP report needs, which gives the same bytes again',
  WITH_VECTORS,
  async () => {
    const amd = new FakeAmd()
    await using services = await genoaServices(amd)
    const kds = { address: services.address, roots: [amd.ark] }
    const bundle = await fetchBundle('snp', vector('snp/genoa-v5/report.bin'), {
      client: newClient(),
      kds,
    })
    assert.equal(bundle.subject.line, 'Genoa')
    assert.equal(bundle.expires.getTime(), NEXT_UPDATE.getTime())
    assert.deepEqual(
      bundle.items.map(({ kind }) => kind),
      ['certificate', 'certificate', 'certificate', 'revocation-list'],
    )
    const bytes = encodeBundle(bundle)
    const again = parseBundle(bytes)
    assert.deepEqual(encodeBundle(again), bytes)
    assert.equal(bundleEndorsements(again).certificates.length, 3)
  },
)

test(
  'a report that does not tell what it needs is an error before anything is asked',
  WITH_VECTORS,
  async () => {
    await using services = await FakeServices.start({})
    const options = { client: newClient(), address: services.address }
    const v2 = vector('snp/milan-v2-azure/report.bin')
    await fails(fetchSnpEndorsements({ report: v2 }, options), 'fetch.subject-unknown')
    await fails(fetchSnpEndorsements({ report: v2.subarray(1) }, options), 'fetch.subject-unknown')
    const vlek = vector('snp/milan-v3-vlek/report.bin')
    await fails(fetchSnpEndorsements({ report: vlek }, options), 'fetch.subject-unknown')
    const masked = encodeSnpReport({
      ...parseSnpReport(vector('snp/genoa-v5/report.bin')),
      chipId: new Uint8Array(64),
    })
    await fails(fetchSnpEndorsements({ report: masked }, options), 'fetch.subject-unknown')
    assert.deepEqual(services.requests, [])
  },
)

test(
  'a report of version 2 is asked for by its named line, or by the leaf that it brings',
  WITH_VECTORS,
  async () => {
    await using services = await FakeServices.start({})
    const options = { client: newClient(), address: services.address }
    const report = vector('snp/milan-v2-azure/report.bin')
    await fails(fetchSnpEndorsements({ report }, { ...options, line: 'Milan' }), 'fetch.not-found')
    const certificates = [vector('snp/milan-v2-azure/vcek.der')]
    await fails(fetchSnpEndorsements({ report, certificates }, options), 'fetch.not-found')
    const paths = services.requests.map(({ path }) => path.slice(0, 27))
    assert.ok(paths[0]?.startsWith('/vcek/v1/Milan/c38427a30d4c'), paths[0])
    assert.deepEqual(paths[1], '/vcek/v1/Milan/cert_chain')
  },
)

test(
  'fetchThimCertificates() reads what the metadata service says, and only that',
  WITH_VECTORS,
  async () => {
    const pem = encodePem('CERTIFICATE', vector('snp/milan-v2-azure/vcek.der'))
    const chain = new TextDecoder().decode(vector('snp/milan-v2-debug/ask_ark_milan.pem'))
    const good = {
      vcekCert: pem,
      tcbm: 'DB18000000000004',
      certificateChain: chain,
      cacheControl: '86400',
    }
    const path = '/metadata/THIM/amd/certification'
    await using services = await FakeServices.start({ [path]: { body: JSON.stringify(good) } })
    const ask = () => fetchThimCertificates({ client: newClient(), address: services.address })
    assert.equal((await ask()).length, 3)
    assert.equal(services.requests[0]?.headers['metadata'], 'true')
    for (const [body, code] of [
      ['{', 'fetch.content-malformed'],
      [JSON.stringify({ ...good, vcekCert: 1 }), 'fetch.content-malformed'],
      [JSON.stringify({ ...good, vcekCert: '' }), 'fetch.content-malformed'],
      [JSON.stringify({ ...good, vcekCert: chain }), 'fetch.content-mismatch'],
      [`{"vcekCert": "", ${JSON.stringify(good).slice(1)}`, 'fetch.content-malformed'],
    ] as const) {
      services.set(path, { body })
      await fails(ask(), code)
    }
  },
)
