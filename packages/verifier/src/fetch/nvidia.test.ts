import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toBase64 } from '../bytes/base64.ts'
import { fromHex, toHex } from '../bytes/hex.ts'
import { toUtf8 } from '../bytes/text.ts'
import { runtimeCrypto } from '#crypto'
import { bundleEndorsements, encodeBundle, parseBundle } from '../endorsements/bundle.ts'
import { parseCertificate } from '../formats/x509-certificate.ts'
import { appraiseNvidiaUnder } from '../nvidia/appraise.ts'
import { nvidiaDeviceClaims } from '../nvidia/claims.ts'
import { recogniseNvidiaEvidence } from '../nvidia/recognise.ts'
import { parseNvidiaReport } from '../nvidia/report.ts'
import {
  FAKE_FWID,
  FakeNvidia,
  OCSP_STATUS,
  fakeManifest,
  fakeOcspResponse,
  fakeReport,
} from '../testing/fake-nvidia.ts'
import { FakeServices } from '../testing/fake-services.ts'
import type { ServedRequest } from '../testing/fake-services.ts'
import { WITH_VECTORS, vector } from '../testing/vectors.ts'
import { EndorsementClient } from './endorsement-client.ts'
import { fetchBundle } from './fetch-bundle.ts'
import { EndorsementFetchError } from './fetch-error.ts'
import type { FetchErrorCode } from './fetch-error.ts'
import { fetchOcspResponse } from './nvidia-ocsp.ts'
import { fetchManifest, manifestIds } from './nvidia-rim.ts'

const NOW = new Date('2026-06-01T00:00:00Z')
const MAKER = new FakeNvidia()
const SIGNER = MAKER.signer()
const DRIVER_ID = 'NV_GPU_CC_DRIVER_FAKE_1.2'
const VBIOS_ID = 'NV_GPU_VBIOS_1010_0200_882_96009F0001'

const newClient = () =>
  new EndorsementClient({ fetch, spacingMs: 0, attempts: 1, now: () => NOW.getTime() })

async function fails(answer: Promise<unknown>, code: FetchErrorCode): Promise<void> {
  await assert.rejects(
    answer,
    (error) => error instanceof EndorsementFetchError && error.code === code,
    code,
  )
}

/** As the RIM service wraps a manifest. */
async function wrapped(id: string, manifest: Uint8Array, change: object = {}): Promise<string> {
  const sha256 = toHex(await runtimeCrypto.digest('SHA-256', manifest))
  return JSON.stringify({ id, rim: toBase64(manifest), sha256, last_updated: '', ...change })
}

const driver = () =>
  fakeManifest(MAKER, '1.2', [{ index: 0, hashes: ['06'.repeat(48)] }], { signer: SIGNER })
const vbios = () =>
  fakeManifest(MAKER, '96.00.9F.00.01', [{ index: 4, hashes: ['00'.repeat(48)], active: false }], {
    signer: SIGNER,
  })

/** Answers for the certificates of the fake world with the nonce that was sent; they share a serial number, so the issuer tells them apart. */
async function answerFor({ body }: ServedRequest): Promise<Uint8Array> {
  const asked = toHex(body)
  for (const [der, issuer] of [
    [MAKER.issuer.der, MAKER.root],
    [SIGNER.der, MAKER.issuer],
  ] as const) {
    const { raw } = parseCertificate(issuer.der).subject
    if (asked.includes(toHex(await runtimeCrypto.digest('SHA-384', raw))))
      return fakeOcspResponse(der, issuer, { nonce: nonceOf(body) })
  }
  return assert.fail('an unknown issuer')
}

/** The last 32 bytes of a request are its nonce. */
const nonceOf = (request: Uint8Array) => request.subarray(-32)

test('manifestIds() names what devices of each kind need', WITH_VECTORS, () => {
  const idsOf = (path: string, chip: string) =>
    recogniseNvidiaEvidence(vector(`nvidia/${path}`)).devices.flatMap((device) =>
      manifestIds(nvidiaDeviceClaims(device, parseNvidiaReport(device.report)), chip),
    )
  assert.deepEqual(idsOf('gpu-h100-550.90.07/report.bin', 'GH100'), [
    'NV_GPU_DRIVER_GH100_550.90.07',
    VBIOS_ID,
  ])
  assert.deepEqual(
    idsOf('gpu-h100-550.90.07/report.bin', 'GB100')[0],
    'NV_GPU_CC_DRIVER_GB100_550.90.07',
  )
  assert.deepEqual(idsOf('switch-ls10/evidence.json', 'LS_10'), [
    'NV_SWITCH_BIOS_5612_0002_890_9610550001',
  ])
})

test(
  "fetchManifest() takes NVIDIA's recorded manifests from the service's JSON",
  WITH_VECTORS,
  async () => {
    const id = 'NV_GPU_DRIVER_GH100_550.90.07'
    const manifest = vector('nvidia/rim/driver_GH100_550.90.07.xml')
    await using services = await FakeServices.start({
      [`/v1/rim/${id}`]: { body: await wrapped(id, manifest) },
    })
    const { address } = services
    assert.deepEqual(await fetchManifest(id, { client: newClient(), address }), manifest)
  },
)

test('fetchManifest() refuses what is not that manifest, signed', async () => {
  await using services = await FakeServices.start({})
  const { address } = services
  const root = MAKER.fingerprint
  const ask = async (body: string | Promise<string>) => {
    services.set(`/v1/rim/${DRIVER_ID}`, { body: await body })
    return fetchManifest(DRIVER_ID, { client: newClient(), address, root })
  }
  await ask(wrapped(DRIVER_ID, driver()))
  await fails(ask(wrapped('OTHER', driver())), 'fetch.content-mismatch')
  await fails(
    ask(wrapped(DRIVER_ID, driver(), { sha256: '00'.repeat(32) })),
    'fetch.content-mismatch',
  )
  await fails(ask(wrapped(DRIVER_ID, driver(), { rim: 1 })), 'fetch.content-malformed')
  await fails(ask(wrapped(DRIVER_ID, toUtf8('<a/>'))), 'fetch.content-malformed')
  await fails(ask('<html></html>'), 'fetch.content-malformed')
  const foreign = fakeManifest(new FakeNvidia(), '1.2', [{ index: 0, hashes: ['06'.repeat(48)] }])
  await fails(ask(wrapped(DRIVER_ID, foreign)), 'fetch.content-unsigned')
  const older = fakeManifest(MAKER, '1.1', [{ index: 0, hashes: ['06'.repeat(48)] }])
  await fails(ask(wrapped(DRIVER_ID, older)), 'fetch.content-mismatch')
  await assert.rejects(fetchManifest('../x', { client: newClient(), address, root }), TypeError)
})

test('fetchOcspResponse() takes a response about that certificate, signed and with its nonce', async () => {
  await using services = await FakeServices.start({})
  const { address } = services
  const certificate = parseCertificate(MAKER.issuer.der)
  const issuer = parseCertificate(MAKER.root.der)
  const ask = (answer: (request: ServedRequest) => Promise<Uint8Array> | Uint8Array) => {
    services.set('/', async (request) => ({ body: await answer(request) }))
    return fetchOcspResponse(certificate, issuer, { client: newClient(), address })
  }
  const own = (options = {}) => fakeOcspResponse(MAKER.issuer.der, MAKER.root, options)
  await ask(({ body }) => own({ nonce: nonceOf(body) }))
  await ask(() => own())
  // What it says is judged when it is used.
  await ask(() => own({ status: OCSP_STATUS.revoked(1) }))
  const [request] = services.requests
  assert.equal(request?.method, 'POST')
  assert.equal(request.headers['content-type'], 'application/ocsp-request')
  await fails(
    ask(() => own({ nonce: new Uint8Array(32) })),
    'fetch.content-mismatch',
  )
  await fails(
    ask(() => fakeOcspResponse(SIGNER.der, MAKER.issuer)),
    'fetch.content-mismatch',
  )
  await fails(
    ask(() => own({ responder: MAKER.signer() })),
    'fetch.content-unsigned',
  )
  await fails(
    ask(() => own({ nextUpdate: new Date('2026-05-31') })),
    'fetch.content-expired',
  )
  await fails(
    ask(() => fromHex('30030a0106')),
    'fetch.content-malformed',
  )
  await fails(
    ask(() => toUtf8('<html></html>')),
    'fetch.content-malformed',
  )
})

test('a bundle for GPU evidence satisfies all that a policy can demand', async () => {
  const device = MAKER.device()
  const report = fakeReport(device, {
    20: FAKE_FWID,
    3: toUtf8('1.2\0'),
    6: Uint8Array.of(0, 0x9f, 0, 0x96, 1, 0, 0, 0),
    15: toUtf8('882\0'),
    17: toUtf8('1010\0'),
    18: toUtf8('0200\0'),
  })
  const pem = MAKER.certificates(device).map(
    (der) => `-----BEGIN CERTIFICATE-----\n${toBase64(der)}\n-----END CERTIFICATE-----\n`,
  )
  const json = [{ evidence: toBase64(report), certificate: toBase64(toUtf8(pem.join(''))) }]
  const evidence = toUtf8(JSON.stringify(json))
  await using services = await FakeServices.start({
    [`/v1/rim/${DRIVER_ID}`]: { body: await wrapped(DRIVER_ID, driver()) },
    [`/v1/rim/${VBIOS_ID}`]: { body: await wrapped(VBIOS_ID, vbios()) },
  })
  services.set('/', async (request) => ({ body: await answerFor(request) }))
  const { address } = services
  const bundle = await fetchBundle('nvidia', evidence, {
    client: newClient(),
    nvidia: { address, ocspAddress: address, root: MAKER.fingerprint },
  })
  assert.equal(bundle.subject.manifests, `${DRIVER_ID} ${VBIOS_ID}`)
  const endorsements = bundleEndorsements(parseBundle(encodeBundle(bundle)))
  assert.equal(endorsements.ocspResponses.length, 2)
  const judged = await appraiseNvidiaUnder(MAKER.roots, recogniseNvidiaEvidence(evidence), {
    expect: { nonce: 'any' },
    now: NOW,
    endorsements,
    policy: { requireManifests: true, requireRevocationStatus: true },
  })
  assert.equal(
    judged.status,
    'affirming',
    JSON.stringify(judged.checks.filter((c) => c.outcome !== 'pass')),
  )
})
