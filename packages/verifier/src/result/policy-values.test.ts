import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DCAP_POLICY_KEYS } from '../dcap/policy.ts'
import { NVIDIA_POLICY_KEYS } from '../nvidia/policy.ts'
import { checkSnpPolicy } from '../snp/policy-keys.ts'
import { checkPolicy } from './policy-values.ts'

function refusesSnp(policy: object): void {
  assert.throws(
    () => {
      checkSnpPolicy(policy)
    },
    TypeError,
    JSON.stringify(policy),
  )
}

test('an SNP policy whose members could be taken for no demand is refused', () => {
  for (const policy of [
    { requireRevocationList: 'true' },
    { requireRevocationList: 1 },
    { distrustedLines: ['milan'] },
    { distrustedLines: 'Milan' },
    { requirePlatform: ['aliasCheck'] },
    { requireGuestPolicy: [true] },
    { vmpl: '0' },
    { vmpl: 4 },
    { allowedChips: 'aa' },
    { allowedChips: [1] },
    { minimumTcb: { Genoa: { snp: '27' } } },
    { minimumTcb: { Genoa: { snp: Number.NaN } } },
    { minimumTcb: { Genoa: null } },
    { minimumTcb: { Bergamo: {} } },
    { minimumTcb: [] },
    { minimumTcbPreset: '2024-01' },
    { minimumFirmware: { Genoa: { major: 1 } } },
    { minimumFirmware: { Genoa: { major: 1, minor: 55, build: '40' } } },
    { minimumAbi: { major: 1 } },
    { minimumAbi: 1 },
    { minimumGuestSvn: -1 },
    { requireMitigations: 1.5 },
    { requireMitigations: '0x1' },
    { refuseProvisionalFirmwares: true },
  ])
    refusesSnp(policy)
  checkSnpPolicy({
    vmpl: 'any',
    requirePlatform: ['aliasCheckComplete'],
    distrustedLines: ['Milan'],
    minimumTcb: { Turin: { fmc: 1, snp: 4 }, Genoa: { fmc: null } },
    minimumFirmware: { Genoa: { major: 1, minor: 55, build: 40 } },
    minimumAbi: { major: 1, minor: 55 },
    requireMitigations: 3n,
  })
})

test('policies for Intel and NVIDIA likewise', () => {
  const intel: readonly object[] = [
    { acceptTcbStatuses: 'OutOfDate' },
    { acceptTcbStatuses: ['Outofdate'] },
    { acceptTcbStatuses: ['Revoked'] },
    { graceDays: '30' },
    { graceDays: Infinity },
    { refuseFailingEarlyTcb: 'yes' },
  ]
  for (const policy of intel)
    assert.throws(() => {
      checkPolicy(policy, DCAP_POLICY_KEYS as never)
    }, TypeError)
  const nvidia: object = { requireManifests: 'true' }
  assert.throws(() => {
    checkPolicy(nvidia, NVIDIA_POLICY_KEYS as never)
  }, TypeError)
  checkPolicy({ acceptTcbStatuses: ['OutOfDate'], graceDays: 30 }, DCAP_POLICY_KEYS)
})
