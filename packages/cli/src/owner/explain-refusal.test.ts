import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { AuditEntry } from '@cloister/protocol/broker-admin-api'
import { CloisterError } from '@cloister/protocol/error'
import { explainRefusal } from './explain-refusal.ts'

const CREATED = '2026-01-01T00:00:00.000Z'
const LATER = Date.parse(CREATED) + 1000

function entry(overrides: Partial<AuditEntry>): AuditEntry {
  return {
    index: 1,
    hash: '00',
    time: LATER,
    requestId: 'ab'.repeat(16),
    kind: 'guest',
    outcome: 'refused',
    code: 'image.digest-mismatch',
    workload: 'demo',
    checks: [
      {
        code: 'image.digest-mismatch',
        outcome: 'fail',
        expected: 'sha256:a',
        received: 'sha256:b',
        where: 'manifest',
      },
    ],
    ...overrides,
  }
}

function explain(error: CloisterError, entries: readonly AuditEntry[]) {
  const audit = async (filter: { requestId?: string; workload?: string }) =>
    entries.filter(
      ({ requestId, workload }) =>
        (filter.requestId ?? requestId) === requestId && (filter.workload ?? workload) === workload,
    )
  return explainRefusal(error, { name: 'demo', createdAt: CREATED, broker: { audit } })
}

describe('explainRefusal()', () => {
  test('gives what the guest told its owner, as the guest’s word', async () => {
    const { code, details } = await explain(new CloisterError('image.digest-mismatch'), [entry({})])
    assert.equal(code, 'image.digest-mismatch')
    assert.deepEqual(
      [details.why, details.expected, details.received, details.where],
      [
        'the guest refused it, and told your broker: image.digest-mismatch',
        'sha256:a',
        'sha256:b',
        'manifest',
      ],
    )
    assert.equal(details.fix?.[0], `cloister broker audit --request ${'ab'.repeat(16)}`)
  })

  test('says what the guest told also where the host gives another code', async () => {
    const { code, details } = await explain(new CloisterError('guest.died'), [entry({})])
    assert.equal(code, 'guest.died')
    assert.match(details.why ?? '', /image\.digest-mismatch/)
  })

  test('gives the check of the broker that the request id names', async () => {
    const requestId = 'cd'.repeat(16)
    const checks = [{ code: 'release.debug', outcome: 'fail' as const, expected: 'false' }]
    const { details } = await explain(new CloisterError('agent.resource-refused', { requestId }), [
      entry({ kind: 'release', requestId, code: 'release.debug', checks }),
    ])
    assert.equal(details.why, 'the broker refused it: release.debug')
    assert.equal(details.expected, 'false')
  })

  test('takes no entry of before the start, of another workload, or of an owner’s call', async () => {
    const error = new CloisterError('image.digest-mismatch', { requestId: 'ab'.repeat(16) })
    for (const other of [
      entry({ time: LATER - 2000 }),
      entry({ workload: 'other' }),
      entry({ kind: 'admin' }),
      entry({ outcome: 'allowed' }),
    ])
      assert.equal(await explain(error, [other]), error)
  })

  test('does not blame the broker for what it did not refuse', async () => {
    const error = new CloisterError('registry.unreachable')
    assert.equal(await explain(error, [entry({ kind: 'release', code: 'release.debug' })]), error)
  })

  test('leaves the error as it is where the broker does not answer', async () => {
    const error = new CloisterError('image.digest-mismatch')
    const broker = { audit: () => Promise.reject(new Error('down')) }
    assert.equal(await explainRefusal(error, { name: 'demo', createdAt: CREATED, broker }), error)
  })
})
