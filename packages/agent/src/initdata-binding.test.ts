import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import {
  encodeInitdata,
  encodeInitdataDisk,
  initdataDigest,
  initdataOf,
} from '@cloister/protocol/initdata'
import { isCode } from '@cloister/protocol/testing'
import type { WorkloadInput } from '@cloister/protocol/workload'
import { bindInitdata } from './initdata-binding.ts'

const DIGEST = `sha256:${'11'.repeat(32)}`
const WORKLOAD: WorkloadInput = {
  version: 1,
  name: 'demo',
  revision: 1,
  broker: { url: 'https://broker', spki: ['00'.repeat(32)] },
  image: { reference: `r/i@${DIGEST}`, digest: DIGEST, registry: { target: 'registry' } },
  container: { id: 'demo' },
}
const DOCUMENT = encodeInitdata(initdataOf(WORKLOAD))

const bind = (document: Uint8Array, hostData: Uint8Array) =>
  bindInitdata(encodeInitdataDisk(document), {
    tee: 'snp',
    attest: async (reportData) => {
      assert.ok(reportData.every((byte) => byte === 0))
      return { hostData, json: '' }
    },
  })

test('initdata with its digest in HOST_DATA is taken, byte for byte', async () => {
  const bound = await bind(DOCUMENT, initdataDigest(DOCUMENT))
  assert.deepEqual(Buffer.from(bound.document), Buffer.from(DOCUMENT))
  assert.equal(bound.workload.name, 'demo')
})

test('zero, another digest, and a digest of the same content in other bytes are refused', async () => {
  await assert.rejects(bind(DOCUMENT, new Uint8Array(32)), isCode('initdata.unmeasured'))
  await assert.rejects(bind(DOCUMENT, new Uint8Array(32).fill(1)), isCode('initdata.mismatch'))
  const other = Buffer.concat([DOCUMENT, Buffer.from('\n')])
  await assert.rejects(bind(other, initdataDigest(DOCUMENT)), isCode('initdata.mismatch'))
})

test('an algorithm other than SHA-256 does not choose what is compared', async () => {
  const document = encodeInitdata({ ...initdataOf(WORKLOAD), algorithm: 'sha384' })
  const cut = createHash('sha384').update(document).digest().subarray(0, 32)
  await assert.rejects(bind(document, cut), isCode('initdata.mismatch'))
  await assert.rejects(bind(document, initdataDigest(document)), isCode('initdata.malformed'))
})

test('nothing is read as a workload before the digest was compared', async () => {
  const broken = encodeInitdata({ algorithm: 'sha256', data: { 'cloister.json': '{' } })
  await assert.rejects(bind(broken, new Uint8Array(32).fill(1)), isCode('initdata.mismatch'))
  await assert.rejects(bind(broken, initdataDigest(broken)), isCode('initdata.workload-malformed'))
})

test('a policy that cannot be enforced is refused, not ignored', async () => {
  const broken = [
    '',
    'package policy\nallow := true',
    'package agent_policy\nallow := {',
    'package agent_policy\nallow := no.such_function(1)',
    'package agent_policy\nAllowRequestsFailingPolicy := true\nAllowRequestsFailingPolicy := false',
  ]
  for (const policy of broken) {
    const document = encodeInitdata(initdataOf(WORKLOAD, policy))
    await assert.rejects(
      bind(document, initdataDigest(document)),
      isCode('initdata.policy-malformed'),
    )
  }
})
