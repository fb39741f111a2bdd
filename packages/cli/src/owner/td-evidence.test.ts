import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { GuestImageManifest } from '@cloister/protocol/guest-image-manifest'
import { encodeInitdata, initdataDigest } from '@cloister/protocol/initdata'
import { verifyReportData } from '@cloister/protocol/report-data'
import type { TdReport } from '@cloister/verifier/dcap/td-report'
import { FAKE_TD, FakeIntel } from '@cloister/verifier/testing/fake-intel'
import { computeTrust, type OwnerReferences } from './trust-state.ts'

const NOW = new Date('2026-06-01')
const NONCE = new Uint8Array(32).fill(7)
const KEY = new Uint8Array(91).fill(1)
const INITDATA = encodeInitdata({ algorithm: 'sha256', data: {} })
const register = (byte: number) => new Uint8Array(48).fill(byte)
const hex = (byte: number) => Buffer.from(register(byte)).toString('hex')
const RTMR0 = hex(0x30)

const MANIFEST = {
  name: 'base',
  expected: {
    snp: { hardware: {}, simulated: {}, debug: {} },
    tdx: { hardware: { mrTd: hex(2), rtmr1: hex(0x31), rtmr2: hex(0x32) } },
  },
} as unknown as GuestImageManifest

const CURRENT = {
  name: 'demo',
  revision: 1,
  initdataDigest: Buffer.from(initdataDigest(INITDATA)).toString('hex'),
  state: 'current',
  registeredAt: 0,
} as const

const intel = new FakeIntel()
const collateral = async () =>
  intel.endorsements('tdx', new Date('2026-05-31'), new Date('2026-06-02'))

async function verdictOn(
  report: Partial<TdReport> = {},
  references: Partial<OwnerReferences> = {},
  by: FakeIntel = intel,
) {
  const mrConfigId = Buffer.alloc(48)
  mrConfigId.set(initdataDigest(INITDATA))
  const quote = by.quote({
    kind: 'tdx',
    report: {
      ...FAKE_TD,
      rtmr0: register(0x30),
      rtmr1: register(0x31),
      rtmr2: register(0x32),
      mrConfigId,
      reportData: verifyReportData(NONCE, KEY, KEY),
      ...report,
    },
  })
  const key = Buffer.from(KEY).toString('base64')
  const evidence = { cc_eventlog: null, quote: Buffer.from(quote).toString('base64') }
  const answer = {
    tee: 'tdx',
    evidenceJson: JSON.stringify(evidence),
    agentKey: key,
    channelKey: key,
    initdata: Buffer.from(INITDATA).toString('base64'),
  }
  const known = {
    manifests: [MANIFEST],
    revisions: [CURRENT],
    simulatedRoots: [],
    acceptedMachines: async () => [RTMR0],
    intelCollateral: collateral,
    ...references,
  }
  return computeTrust(answer, NONCE, known, NOW, undefined, intel.appraiseTdx.bind(intel))
}

const failed = ({ checks }: Awaited<ReturnType<typeof verdictOn>>) =>
  checks.filter(({ outcome }) => outcome === 'fail').map(({ code }) => code)

test('a TD of the image, on the accepted machine, is verified', async () => {
  const verdict = await verdictOn()
  assert.equal(verdict.trust, 'verified', failed(verdict).join())
  assert.equal(verdict.launchDigest, hex(0x31))
})

test('a machine that nobody accepted is a warning, and another than the accepted one a failure', async () => {
  const unknown = await verdictOn({}, { acceptedMachines: async () => [] })
  assert.equal(unknown.trust, 'degraded')
  const other = await verdictOn({ rtmr0: register(9) })
  assert.deepEqual([other.trust, failed(other)], ['failed', ['tdx.rtmr0.mismatch']])
})

test('what the TD booted must be one image as a whole', async () => {
  const mixed = { ...MANIFEST.expected.tdx!.hardware, rtmr1: hex(0x41), rtmr2: hex(0x42) }
  const second = { ...MANIFEST, expected: { ...MANIFEST.expected, tdx: { hardware: mixed } } }
  const references = { manifests: [MANIFEST, second] }
  assert.equal(
    (await verdictOn({ rtmr1: register(0x41), rtmr2: register(0x42) }, references)).trust,
    'verified',
  )
  // The kernel of one image with the command line of another.
  const half = await verdictOn({ rtmr2: register(0x42) }, references)
  assert.deepEqual([half.trust, failed(half)], ['failed', ['tdx.rtmr2.mismatch']])
  const none = await verdictOn({}, { manifests: [] })
  assert.deepEqual(
    [none.trust, failed(none)],
    ['failed', ['tdx.mr-td.mismatch', 'tdx.rtmr1.mismatch', 'tdx.rtmr2.mismatch']],
  )
})

test('other initdata, another nonce, debugging, and another root are failures', async () => {
  const cases = [
    ['tdx.mr-config-id.mismatch', await verdictOn({ mrConfigId: register(1) })],
    ['tdx.report-data.mismatch', await verdictOn({ reportData: new Uint8Array(64) })],
    [
      'tdx.policy.debug',
      await verdictOn({ tdAttributes: Uint8Array.of(1, 0, 0, 0x10, 0, 0, 0, 0) }),
    ],
    ['dcap.endorsement.untrusted-root', await verdictOn({}, {}, new FakeIntel())],
  ] as const
  for (const [code, verdict] of cases) {
    assert.equal(verdict.trust, 'failed', code)
    assert.ok(failed(verdict).includes(code), `${code}: ${failed(verdict).join()}`)
  }
})

test('without collateral nothing is known, and with old collateral it is stale', async () => {
  assert.equal((await verdictOn({}, { intelCollateral: async () => ({}) })).trust, 'unattested')
  const old = async () => intel.endorsements('tdx', new Date('2026-05-01'), new Date('2026-05-02'))
  assert.equal((await verdictOn({}, { intelCollateral: old })).trust, 'stale')
})
