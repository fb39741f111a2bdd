import assert from 'node:assert/strict'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { sha256Hex } from '../testing/fingerprint.ts'
import { appraiseSnp } from '@cloister/verifier/snp/appraise'
import { fromExtendedReport } from '@cloister/verifier/snp/evidence'
import { issueChain } from './endorsement-chain.ts'
import type { SimulatedIdentity } from './key-store.ts'
import type { LaunchContext } from './launch-context.ts'
import { signReport } from './sign-report.ts'

const NOW = new Date('2026-06-01T00:00:00Z')
const CONTEXT: LaunchContext = {
  version: 1,
  policy: '30000',
  hostData: '11'.repeat(32),
  measurement: '22'.repeat(48),
  reportId: '33'.repeat(32),
  vcpuType: 'EPYC-v4',
}
const REPORT_DATA = '44'.repeat(64)

/** P-384 authorities: RSA-4096 keys, as the key store makes, take seconds. */
function identity(): SimulatedIdentity {
  const key = () => generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey
  const keys = { ark: key(), ask: key(), vcek: key() }
  const chipId = randomBytes(64)
  return { chipId, vcekKey: keys.vcek, chain: issueChain(keys, chipId, NOW) }
}

function evidenceOf(signer: SimulatedIdentity, vmpl = 0) {
  const { report, certificates } = signReport(signer, CONTEXT, { reportData: REPORT_DATA, vmpl })
  return fromExtendedReport(Buffer.from(report, 'base64'), Buffer.from(certificates, 'base64'))
}

const EXPECT = {
  reportData: Buffer.from(REPORT_DATA, 'hex'),
  measurement: Buffer.from(CONTEXT.measurement, 'hex'),
  hostData: Buffer.from(CONTEXT.hostData, 'hex'),
}

test('a simulated report passes every check of the strict policy under its pinned root, and only warns', async () => {
  const signer = identity()
  const appraisal = await appraiseSnp(evidenceOf(signer), {
    expect: EXPECT,
    now: NOW,
    policy: { requireRevocationList: true, requirePlatform: ['aliasCheckComplete'] },
    simulatedRoots: [sha256Hex(signer.chain.ark)],
  })
  assert.equal(appraisal.status, 'warning')
  assert.deepEqual('claims' in appraisal && appraisal.reasons, ['snp.anchor.simulated'])
})

test('a simulated report is refused without its root pinned, and under another simulated root', async () => {
  const signer = identity()
  for (const simulatedRoots of [[], [sha256Hex(identity().chain.ark)]]) {
    const appraisal = await appraiseSnp(evidenceOf(signer), {
      expect: EXPECT,
      now: NOW,
      simulatedRoots,
    })
    assert.equal(appraisal.status, 'contraindicated')
    assert.ok(
      appraisal.status === 'contraindicated' &&
        appraisal.reasons.includes('snp.endorsement.untrusted-root'),
    )
  }
})

test('a simulated report carries the VMPL that the guest asked for', async () => {
  const signer = identity()
  const appraisal = await appraiseSnp(evidenceOf(signer, 1), {
    expect: EXPECT,
    now: NOW,
    simulatedRoots: [sha256Hex(signer.chain.ark)],
  })
  assert.ok('reasons' in appraisal && appraisal.reasons.includes('snp.vmpl.mismatch'))
})
