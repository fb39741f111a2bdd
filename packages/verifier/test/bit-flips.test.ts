import assert from 'node:assert/strict'
import { test } from 'node:test'
import { appraiseCca } from '../src/cca/appraise.ts'
import { appraiseNitroUnder } from '../src/nitro/appraise.ts'
import { appraiseNvidiaUnder } from '../src/nvidia/appraise.ts'
import { EndorsementCache } from '../src/result/endorsement-cache.ts'
import { newSnpReport } from '../src/snp/report-template.ts'
import { REPORT_SIGNED_SIZE } from '../src/snp/report.ts'
import { ANY_CCA, ANY_NITRO, ANY_SNP } from '../src/testing/any-expectation.ts'
import { FakeAmd, GENOA_GUEST } from '../src/testing/fake-amd.ts'
import { FakeArm } from '../src/testing/fake-arm.ts'
import { FakeAws } from '../src/testing/fake-aws.ts'
import { FakeNvidia, fakeReport } from '../src/testing/fake-nvidia.ts'

// Every bit of the formats that are not swept beside their own code: SNP, TDX, SGX, TPM and Secure Execution are.

const NOW = new Date('2026-06-01T00:00:00Z')

/** Flips each bit of a range. @param end - behind the last byte */
async function sweep(
  bytes: Uint8Array,
  range: { readonly start?: number; readonly end?: number },
  status: (bytes: Uint8Array) => Promise<string>,
): Promise<void> {
  assert.match(await status(bytes), /affirming|warning/)
  const { start = 0, end = bytes.length } = range
  for (let bit = start * 8; bit < end * 8; bit++) {
    const offset = bit >> 3
    bytes[offset] = (bytes[offset] as number) ^ (1 << (bit & 7))
    assert.match(await status(bytes), /contraindicated|none/, `bit ${bit}`)
    bytes[offset] = bytes[offset] ^ (1 << (bit & 7))
  }
}

test('each bit of a CCA token counts', async () => {
  const arm = new FakeArm()
  const endorsements = { platformKeys: [{ publicKey: arm.platformKey.spki }] }
  const options = { expect: ANY_CCA, now: NOW, endorsements }
  await sweep(arm.token(), {}, async (bytes) => (await appraiseCca(bytes, options)).status)
})

test('each bit of a Nitro document counts', async () => {
  const aws = new FakeAws()
  const options = {
    expect: ANY_NITRO,
    now: NOW,
    cache: new EndorsementCache(),
  } as const
  await sweep(
    aws.document(),
    {},
    async (bytes) => (await appraiseNitroUnder(aws.fingerprint, bytes, options)).status,
  )
})

test('each bit of an NVIDIA report counts', async () => {
  const maker = new FakeNvidia()
  const device = maker.device()
  const options = {
    expect: { nonce: 'any' },
    now: NOW,
    cache: new EndorsementCache(),
    endorsements: { certificates: maker.certificates(device) },
  } as const
  await sweep(
    fakeReport(device),
    {},
    async (bytes) => (await appraiseNvidiaUnder(maker.roots, bytes, options)).status,
  )
})

test('each bit of what an SNP report of version 4 signs counts', async () => {
  const amd = new FakeAmd()
  const report = newSnpReport(GENOA_GUEST)
  const evidence = amd.evidence({ ...report, version: 4 })
  const options = { expect: ANY_SNP, now: NOW, cache: new EndorsementCache() }
  await sweep(
    evidence.report.slice(),
    { end: REPORT_SIGNED_SIZE },
    async (bytes) => (await amd.appraise({ ...evidence, report: bytes }, options)).status,
  )
})
