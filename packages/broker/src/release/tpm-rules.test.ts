import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AnyReleasePolicySchema, type TpmReleasePolicy } from '@cloister/protocol/broker-admin-api'
import { TeePublicKeySchema } from '@cloister/protocol/kbs'
import { primaryReportData } from '@cloister/protocol/report-data'
import type { TpmResult } from '../attestation/attestation-result.ts'
import { fakePolicy } from '../testing/test-broker.ts'
import { decideRelease } from './decide-release.ts'

const NOW = 1_800_000_000_000
const EK = 'e1'.repeat(32)
const CA = 'ca'.repeat(32)
const PCR7 = '77'.repeat(32)
const RUNTIME_DATA = {
  nonce: 'nonce',
  'tee-pubkey': TeePublicKeySchema.parse({
    kty: 'EC',
    crv: 'P-256',
    alg: 'ECDH-ES+A256KW',
    x: 'x'.repeat(43),
    y: 'y'.repeat(43),
  }),
  'additional-evidence': '',
}
const { nonce, 'tee-pubkey': teePublicKey } = RUNTIME_DATA
const REPORT_DATA = primaryReportData({ nonce, teePublicKey }, '').subarray(0, 32)

const ATTESTATION: TpmResult = {
  anchors: 'tpm',
  appraisal: 'warning',
  claims: {
    level: 'host-vtpm',
    ak: 'a1'.repeat(32),
    endorsement_key: EK,
    endorsement_anchor: CA,
    bank: 'sha256',
    pcrs: { pcr7: PCR7 },
    secure_boot: true,
    reset_count: 1,
    restart_count: 0,
    clock_safe: true,
  },
  reportData: Buffer.from(REPORT_DATA).toString('hex'),
  runtimeData: RUNTIME_DATA,
  expiresAt: NOW + 1,
  token: 'e30.e30.',
}
const POLICY = {
  version: 1,
  kind: 'tpm',
  endorsementKeys: [EK],
  pcrs: { pcr7: [PCR7] },
} as const

interface Change {
  readonly path?: string
  readonly policy?: object
  readonly claims?: Partial<TpmResult['claims']>
  readonly attestation?: Partial<TpmResult>
  readonly tpmAnchors?: readonly string[]
  readonly rego?: string
}

function decide({ path = 'default/demo/secret', policy = POLICY, ...change }: Change) {
  const { claims, attestation, tpmAnchors = [CA] } = change
  return decideRelease(
    {
      path,
      version: 1,
      createdAt: NOW,
      allowSimulated: true,
      policy: AnyReleasePolicySchema.parse(policy),
    },
    { ...ATTESTATION, ...attestation, claims: { ...ATTESTATION.claims, ...claims } },
    {
      workload: undefined,
      guestImages: [],
      platformEnrolled: true,
      simulatedRoots: [],
      tpmAnchors,
    },
    { now: NOW },
  )
}

const failed = (change: Change) =>
  decide(change)
    .checks.filter(({ outcome }) => outcome === 'fail')
    .map(({ code }) => code)

test('a machine that its policy names, with the boot that it accepts, gets the secret', () => {
  assert.deepEqual(decide({}), { allow: true, checks: decide({}).checks })
  assert.equal(
    decide({ claims: { secure_boot: false }, policy: { ...POLICY, requireSecureBoot: false } })
      .allow,
    true,
  )
})

test('each rule has a change that breaks it alone', () => {
  const breaking: readonly (readonly [string, Change])[] = [
    ['release.tpm.anchor', { tpmAnchors: [] }],
    ['release.tpm.endorsement-key', { claims: { endorsement_key: CA } }],
    ['release.tpm.secure-boot', { claims: { secure_boot: false } }],
    ['release.tpm.secure-boot', { claims: { secure_boot: null } }],
    ['release.tpm.pcr', { claims: { pcrs: { pcr7: EK } } }],
    ['release.tpm.pcr', { claims: { pcrs: {} } }],
    ['release.token-expired', { attestation: { expiresAt: NOW } }],
    ['release.key', { attestation: { reportData: '00'.repeat(32) } }],
    ['release.rego', { policy: { ...POLICY, rego: 'package policy\nallow := true' } }],
  ]
  for (const [code, change] of breaking) {
    assert.deepEqual(failed(change), [code])
    assert.equal(decide(change).allow, false)
  }
})

test('no policy gives a TPM of the host what must be kept from the host', () => {
  const everything = fakePolicy({ anchors: ['amd', 'simulated'], allowDegraded: true })
  assert.deepEqual(failed({ policy: everything }), ['release.tpm.level'])
  assert.deepEqual(failed({ path: 'default/disk-key/demo' }), ['release.tpm.level'])
})

test('a policy for TPMs takes only what was written for it', () => {
  const parse = (policy: object) => AnyReleasePolicySchema.safeParse(policy).success
  assert.equal(parse(POLICY), true)
  const broken: readonly Partial<Record<keyof TpmReleasePolicy | 'anchors', unknown>>[] = [
    { endorsementKeys: [] },
    { endorsementKeys: ['e1'] },
    { pcrs: { pcr24: [PCR7] } },
    { pcrs: { pcr7: [] } },
    { pcrs: { pcr7: ['77'] } },
    { kind: 'other' },
    { anchors: ['amd'] },
  ]
  for (const change of broken) assert.equal(parse({ ...POLICY, ...change }), false)
})
