import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AnyReleasePolicySchema, ReleasePolicySchema } from '@cloister/protocol/broker-admin-api'
import { ERROR_CODES } from '@cloister/protocol/errors/catalogue'
import type { ReleaseCheckCode } from '@cloister/protocol/errors/broker'
import { primaryReportData } from '@cloister/protocol/report-data'
import type { SnpClaims, SnpResult } from '../attestation/attestation-result.ts'
import type { Secret } from '../storage/secrets.ts'
import { fakePolicy } from '../testing/test-broker.ts'
import { decideRelease } from './decide-release.ts'
import { askReleaseRego } from './rego-policy.ts'
import type { RegistryState } from './release-rules.ts'

const NOW = 1_800_000_000_000
const TCB = { bootloader: 10, tee: 1, snp: 25, microcode: 72 }
const CHIP = 'c1'.repeat(64)
const ROOT = 'aa'.repeat(32)
const x = 'A'.repeat(43)
const teePublicKey = { kty: 'EC', crv: 'P-256', alg: 'ECDH-ES+A256KW', x, y: x } as const

const CLAIMS: SnpClaims = {
  policy_abi_major: 1,
  policy_abi_minor: 0,
  policy_smt_allowed: true,
  policy_migrate_ma: false,
  policy_debug_allowed: false,
  policy_single_socket: false,
  reported_tcb_bootloader: 10,
  reported_tcb_tee: 1,
  reported_tcb_snp: 25,
  reported_tcb_microcode: 72,
  platform_tsme_enabled: false,
  platform_smt_enabled: true,
  measurement: 'ab'.repeat(48),
  chip_id: CHIP,
  policy_cxl_allowed: false,
  migration_agent: false,
  vmpl: 0,
  processor: 'Genoa',
  processor_id: { family: 0x19, model: 0x11, stepping: 1 },
  reported_tcb: TCB,
  committed_tcb: TCB,
  launch_tcb: TCB,
}

const ATTESTATION: SnpResult = {
  anchors: 'amd',
  appraisal: 'affirming',
  claims: CLAIMS,
  hostData: 'dd'.repeat(32),
  reportData: Buffer.from(primaryReportData({ nonce: 'n', teePublicKey }, '')).toString('hex'),
  runtimeData: { nonce: 'n', 'tee-pubkey': teePublicKey, 'additional-evidence': '' },
  expiresAt: NOW + 1,
  token: `.${Buffer.from(JSON.stringify({ submods: { cpu0: { snp: { vmpl: 0 } } } })).toString('base64url')}.`,
}

const IMAGE = {
  name: 'base',
  imageVersion: 1,
  anchors: 'amd',
  mode: 'hardware',
  withdrawn: false,
} as const
const WORKLOAD = {
  name: 'demo',
  revision: 1,
  initdataDigest: ATTESTATION.hostData,
  state: 'current',
  registeredAt: NOW,
} as const

const REGISTRY: RegistryState = {
  workload: WORKLOAD,
  guestImages: [IMAGE],
  platformEnrolled: false,
  simulatedRoots: [],
  tpmAnchors: [],
}

const SECRET: Secret = {
  path: 'default/demo/secret',
  version: 1,
  createdAt: NOW,
  allowSimulated: false,
  policy: ReleasePolicySchema.parse(fakePolicy()),
}

interface Change {
  readonly secret?: Partial<Secret>
  readonly policy?: Parameters<typeof fakePolicy>[0]
  readonly attestation?: Partial<SnpResult>
  readonly claims?: Partial<SnpClaims>
  readonly registry?: Partial<RegistryState>
  /** Null: no engine. */
  readonly rego?: typeof askReleaseRego | null
}

function decide({ secret, policy, attestation, claims, registry, rego }: Change) {
  return decideRelease(
    {
      ...SECRET,
      ...(policy !== undefined && { policy: ReleasePolicySchema.parse(fakePolicy(policy)) }),
      ...secret,
    },
    { ...ATTESTATION, ...attestation, claims: { ...CLAIMS, ...claims } },
    { ...REGISTRY, ...registry },
    { now: NOW, ...(rego !== null && { askRego: rego ?? askReleaseRego }) },
  )
}

const failedCodes = (change: Change) =>
  decide(change)
    .checks.filter(({ outcome }) => outcome === 'fail')
    .map(({ code }) => code)

const SIMULATED: Change = {
  secret: { allowSimulated: true },
  policy: { anchors: ['simulated'] },
  attestation: { anchors: 'simulated' },
  claims: { simulated_root: ROOT },
  registry: {
    simulatedRoots: [ROOT],
    guestImages: [{ ...IMAGE, anchors: 'simulated', mode: 'simulated' }],
  },
}

/** For each code, changes of which each breaks just that check. */
const BREAKING: Partial<Record<ReleaseCheckCode, readonly Change[]>> = {
  'release.policy-absent': [{ secret: { policy: undefined } }],
  'release.anchors': [
    { policy: { anchors: ['simulated'] } },
    { ...SIMULATED, registry: { ...SIMULATED.registry, simulatedRoots: [] } },
    { ...SIMULATED, claims: {} },
  ],
  'release.simulated': [{ ...SIMULATED, secret: { allowSimulated: false } }],
  'release.attestation-degraded': [
    { attestation: { appraisal: 'warning' } },
    { claims: { processor: 'Milan' } },
  ],
  'release.workload-superseded': [{ registry: { workload: { ...WORKLOAD, state: 'superseded' } } }],
  'release.workload-withdrawn': [{ registry: { workload: { ...WORKLOAD, state: 'withdrawn' } } }],
  'release.instance': [{ registry: { isLiveInstance: false } }],
  'release.workload-not-listed': [
    { policy: { workloads: [{ name: 'other' }] } },
    { policy: { workloads: [{ name: 'demo', minimumRevision: 2 }] } },
    { registry: { workload: { ...WORKLOAD, name: 'demo2' } } },
  ],
  'release.image-version': [{ policy: { guestImages: [{ name: 'base', minimumVersion: 2 }] } }],
  'release.vmpl': [{ claims: { vmpl: 1 } }, { claims: { vmpl: 0xffff_ffff } }],
  'release.debug': [{ claims: { policy_debug_allowed: true } }],
  'release.migration-agent': [
    { claims: { policy_migrate_ma: true } },
    { claims: { migration_agent: true } },
  ],
  'release.guest-policy': [
    { claims: { policy_cxl_allowed: true } },
    { policy: { guestPolicy: { allowSmt: false } } },
    { policy: { guestPolicy: { requireSingleSocket: true } } },
  ],
  'release.tcb.reported': [{ claims: { reported_tcb: { ...TCB, snp: 24 } } }],
  'release.tcb.committed': [{ claims: { committed_tcb: { ...TCB, microcode: 71 } } }],
  'release.tcb.launch': [{ claims: { launch_tcb: { ...TCB, bootloader: 9 } } }],
  'release.platform': [
    { policy: { platforms: 'enrolled' } },
    { policy: { platforms: ['c2'.repeat(64)] } },
  ],
  'release.key': [
    { attestation: { reportData: '00'.repeat(64) } },
    { attestation: { runtimeData: { ...ATTESTATION.runtimeData, nonce: 'other' } } },
    {
      attestation: {
        runtimeData: {
          ...ATTESTATION.runtimeData,
          'tee-pubkey': { ...teePublicKey, x: 'B'.repeat(43) },
        },
      },
    },
  ],
  'release.rego': [
    { policy: { rego: 'package policy' } },
    { policy: { rego: 'package policy\nallow := "true"' } },
    { policy: { rego: 'package policy\nallow if input.submods.cpu0.sample' } },
    { policy: { rego: 'package policy\nallow if data["resource-path"][2] == "other"' } },
    { policy: { rego: 'package policy\nallow := [true, false][_]' } },
    { policy: { rego: 'package other\nallow := true' } },
    { policy: { rego: 'no Rego' } },
    { policy: { rego: 'package policy\nallow := true' }, rego: null },
  ],
  'release.token-expired': [
    { attestation: { expiresAt: NOW } },
    { attestation: { expiresAt: NOW - 1 } },
  ],
}

test('decideRelease() allows only when every check passes', () => {
  const { allow, checks } = decide({})
  assert.equal(allow, true)
  assert.ok(checks.every(({ outcome }) => outcome === 'pass'))
  assert.equal(decide(SIMULATED).allow, true)
})

for (const [code, changes] of Object.entries(BREAKING))
  test(`decideRelease() denies with ${code}, and only with it`, () => {
    for (const change of changes) {
      assert.equal(decide(change).allow, false)
      assert.deepEqual(failedCodes(change), [code])
    }
  })

test('decideRelease() denies what is not there at all, first of all the secret', () => {
  const none = decideRelease(undefined, ATTESTATION, REGISTRY, { now: NOW })
  assert.deepEqual(none, {
    allow: false,
    checks: [{ code: 'release.secret-unknown', outcome: 'fail' }],
  })
  const first = (change: Change) => failedCodes(change)[0]
  const unregistered = { registry: { workload: undefined } }
  assert.equal(first(unregistered), 'release.workload-unregistered')
  assert.equal(first({ registry: { guestImages: [] } }), 'release.measurement-unknown')
  const withdrawn = { registry: { guestImages: [{ ...IMAGE, withdrawn: true }] } }
  assert.equal(first(withdrawn), 'release.image-withdrawn')
  const unlisted = { registry: { guestImages: [{ ...IMAGE, name: 'other' }] } }
  assert.equal(first(unlisted), 'release.image-not-listed')
  assert.equal(first({ policy: { minimumTcb: { Turin: TCB } } }), 'release.processor')
})

test('a dated preset is the minimum of its processor, beside that of the line, and refuses what it has no figure for', () => {
  const preset = { minimumTcb: {}, minimumTcbPreset: '2026-04' }
  const mended = { bootloader: 0, tee: 0, snp: 0x1b, microcode: 0x56 }
  const on = (tcb: typeof TCB, claims: Partial<SnpClaims> = {}): Partial<SnpClaims> => ({
    reported_tcb: tcb,
    committed_tcb: tcb,
    launch_tcb: tcb,
    ...claims,
  })
  const codes = (policy: Change['policy'], claims: Partial<SnpClaims>) =>
    failedCodes({ policy, claims })
  const belowAll = ['release.tcb.reported', 'release.tcb.committed', 'release.tcb.launch']
  assert.deepEqual(codes(preset, on(mended)), [])
  assert.deepEqual(codes(preset, on({ ...mended, microcode: 0x55 })), belowAll)
  const siena = { family: 0x19, model: 0xa0, stepping: 2 }
  assert.deepEqual(codes(preset, on({ ...mended, microcode: 0x19 }, { processor_id: siena })), [])
  const unknown = on(mended, { processor_id: { family: 0x19, model: 0xa0, stepping: 9 } })
  assert.deepEqual(codes(preset, unknown), ['release.processor', ...belowAll])
  assert.deepEqual(codes(preset, on(mended, { processor_id: null })), [
    'release.processor',
    ...belowAll,
  ])
  const both = { ...preset, minimumTcb: { Genoa: { ...mended, snp: 0x1c } } }
  assert.deepEqual(codes(both, on(mended)), belowAll)
  assert.deepEqual(codes({ ...preset, minimumTcbPreset: '1999-01' }, on(mended)), [
    'release.processor',
    ...belowAll,
  ])
})

const AFFIRMED = `package policy
default allow := false
allow if {
  data.plugin == "resource"
  data["resource-path"] == ["default", "demo", "secret"]
  input.submods.cpu0.snp.vmpl == 0
}`

test('decideRelease() asks Rego beside everything else, never instead', () => {
  const policy = { rego: AFFIRMED }
  assert.equal(decide({ policy }).allow, true)
  assert.deepEqual(failedCodes({ policy, claims: { vmpl: 1 } }), ['release.vmpl'])
})

test('decideRelease() says which rule came closest', () => {
  const rego = AFFIRMED.replace('vmpl == 0', 'vmpl == 3')
  const { checks } = decide({ policy: { rego } })
  const { received = '' } = checks.find(({ code }) => code === 'release.rego')!
  assert.match(
    received,
    /^data\.policy\.allow \(line 3\): line 6: input\.submods\.cpu0\.snp\.vmpl == 3/,
  )
  assert.match(received, /input\.submods\.cpu0\.snp\.vmpl = 0/)
})

test('decideRelease() takes no image of another anchor set or attester mode', () => {
  const { anchors, mode, ...rest } = IMAGE
  const foreign = [
    { ...rest, anchors: 'simulated', mode: 'simulated' },
    { ...rest, anchors, mode: 'debug' },
    { ...rest, anchors, mode: 'simulated' },
    { ...rest, anchors: 'simulated', mode },
  ] as const
  for (const image of foreign)
    assert.equal(
      failedCodes({ registry: { guestImages: [image] } })[0],
      'release.measurement-unknown',
    )
  const hardware = { ...SIMULATED, registry: { simulatedRoots: [ROOT], guestImages: [IMAGE] } }
  assert.equal(failedCodes(hardware)[0], 'release.measurement-unknown')
})

test('decideRelease() takes any of several images with one digest that is in force', () => {
  const guestImages = [
    { ...IMAGE, withdrawn: true },
    { ...IMAGE, imageVersion: 2 },
  ]
  assert.equal(decide({ registry: { guestImages } }).allow, true)
})

test('decideRelease() lets a policy accept warnings, and enrolment lift that of Milan', () => {
  const milan = { claims: { processor: 'Milan' } } as const
  const degraded = { attestation: { appraisal: 'warning' } } as const
  assert.equal(decide({ ...degraded, policy: { allowDegraded: true } }).allow, true)
  assert.equal(decide({ ...milan, policy: { allowDegraded: true } }).allow, true)
  assert.equal(decide({ ...milan, registry: { platformEnrolled: true } }).allow, true)
  assert.equal(decide({ ...milan, policy: { platforms: [CHIP] } }).allow, true)
})

test('decideRelease() compares TCBs by component, never as one number', () => {
  const higher = { bootloader: 255, tee: 255, snp: 24, microcode: 255 }
  assert.deepEqual(failedCodes({ claims: { reported_tcb: higher } }), ['release.tcb.reported'])
  const turin = { minimumTcb: { Turin: { ...TCB, fmc: 1 } } }
  const claims = { processor: 'Turin' } as const
  assert.equal(failedCodes({ policy: turin, claims }).includes('release.tcb.reported'), true)
})

test('decideRelease() gives a TEE nothing whose policy is for TPMs', () => {
  const policy = { version: 1, kind: 'tpm', endorsementKeys: ['e1'.repeat(32)] }
  const secret = { policy: AnyReleasePolicySchema.parse(policy) }
  assert.deepEqual(failedCodes({ secret }), ['release.anchors'])
})

test('every release code of the catalogue is yielded by some test here', () => {
  const elsewhere = [
    'release.refused',
    'release.many',
    'release.secret-unknown',
    'release.workload-unregistered',
    'release.measurement-unknown',
    'release.image-withdrawn',
    'release.image-not-listed',
    'release.processor',
  ]
  const covered = new Set([...Object.keys(BREAKING), ...elsewhere])
  // Those of TPMs: tpm-rules.test.ts; of TDs: test/attack/tdx-evidence.test.ts.
  const codes = Object.keys(ERROR_CODES).filter((code) => /^release\.(?!tpm\.|tdx\.)/.test(code))
  assert.deepEqual(
    codes.filter((code) => !covered.has(code)),
    [],
  )
})
