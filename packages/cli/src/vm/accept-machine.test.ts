import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AuditEntry, ReleasePolicy } from '@cloister/protocol/broker-admin-api'
import { MACHINE_EVENT, ReleasePolicySchema } from '@cloister/protocol/broker-admin-api'
import { isCode } from '@cloister/protocol/testing'
import { fromHex, toHex } from '@cloister/verifier/bytes/hex'
import { replayRtmr } from '@cloister/verifier/tdx/rtmr'
import { acceptMachine, explainMachine, refusedMachine } from './accept-machine.ts'

const VALUE = '5a'.repeat(48)
const POLICY = ReleasePolicySchema.parse({
  version: 1,
  anchors: ['intel'],
  workloads: [{ name: 'db' }],
  guestImages: [{ name: 'vm-db', minimumVersion: 1 }],
  minimumTcb: {},
  tdx: { tcbStatuses: ['UpToDate'] },
})
const PATH = 'vm-db/disk-key/current'

const refusal = (...checks: AuditEntry['checks']) => ({
  kind: 'release',
  time: 7,
  outcome: 'refused',
  subject: PATH,
  checks: [{ code: 'release.key', outcome: 'pass' }, ...checks],
})
const unknown = {
  code: 'release.attestation-degraded',
  outcome: 'fail',
  received: `warning: the policy names no RTMR0; it is ${VALUE}`,
} as const

function broker(entries: readonly object[], release: ReleasePolicy | null = POLICY) {
  const policies = new Map<string, ReleasePolicy>()
  return {
    policies,
    audit: async () => entries as AuditEntry[],
    secrets: async () => [PATH, 'default/other/secret'].map((path) => ({ path, release })) as never,
    putReleasePolicy: async (path: string, policy: unknown) =>
      void policies.set(path, policy as ReleasePolicy),
  }
}

test('the value of a release that lacked nothing else is accepted, and named by the policy', async () => {
  const asked = broker([refusal(unknown)])
  assert.deepEqual(await refusedMachine('db', asked), { rtmr0: VALUE, time: 7 })
  assert.deepEqual(await acceptMachine('db', VALUE, asked), { rtmr0: VALUE, secrets: [PATH] })
  assert.deepEqual([...asked.policies.keys()], [PATH])
  assert.deepEqual(asked.policies.get(PATH)?.tdx, { tcbStatuses: ['UpToDate'], rtmr0: [VALUE] })
  const changed = { code: 'release.tdx.rtmr0', outcome: 'fail', received: VALUE } as const
  assert.equal((await refusedMachine('db', broker([refusal(changed)]))).rtmr0, VALUE)
})

test('a value that was given is taken as it is', async () => {
  const given = 'ab'.repeat(48)
  assert.equal((await acceptMachine('db', given, broker([]))).rtmr0, given)
})

test('nothing is learned from a release that was refused for more, was allowed, or never asked for', async () => {
  const more = { code: 'release.measurement-unknown', outcome: 'fail' } as const
  const cases = [
    [],
    [refusal(more, unknown), refusal(unknown)],
    [{ ...refusal(), outcome: 'allowed' }, refusal(unknown)],
    [refusal({ ...unknown, received: 'warning' })],
    [refusal({ ...unknown, received: 'warning: the policy names no RTMR0; it is zz' })],
    [{ ...refusal(unknown), subject: 'default/other/secret' }],
  ]
  for (const entries of cases) {
    const asked = broker(entries)
    await assert.rejects(refusedMachine('db', asked), isCode('vm.machine-unknown'))
    assert.equal(asked.policies.size, 0)
  }
})

test('a VM without secrets under TDX has no machine to accept', async () => {
  const amd: ReleasePolicy = { ...POLICY, anchors: ['amd'] }
  for (const release of [null, amd])
    await assert.rejects(
      acceptMachine('db', VALUE, broker([], release)),
      isCode('vm.machine-unknown'),
    )
})

test('the events of a machine are those of a log that adds up to its register', async () => {
  const digests = ['1', '2', '3'].map((digit) => digit.repeat(96))
  const rtmr0 = toHex(await replayRtmr(digests.map(fromHex)))
  const attested = (received: readonly string[]) => ({
    kind: 'attestation',
    checks: [
      { code: 'tdx.policy.debug', outcome: 'pass' },
      ...received.map((digest, index) => ({
        code: MACHINE_EVENT,
        outcome: 'not-checked',
        received: digest,
        where: index === 0 ? 'measured' : '(a label)',
      })),
    ],
  })
  const predicted = [
    { event: 'TD HOB', digest: fromHex(digests[0] ?? '') },
    { event: 'etc/acpi/tables' },
    { event: 'SMBIOS', digest: fromHex('4'.repeat(96)) },
  ]
  const asked = broker([attested(digests.toReversed()), refusal(unknown), attested(digests)])
  const events = await explainMachine('db', rtmr0, { predicted, broker: asked })
  assert.deepEqual(
    events?.map(({ event, verdict, log }) => [event, verdict, log]),
    [
      ['TD HOB', 'predicted', { text: 'measured', isMeasured: true }],
      ['etc/acpi/tables', 'unknown', { text: 'a label', isMeasured: false }],
      ['SMBIOS', 'differs', { text: 'a label', isMeasured: false }],
    ],
  )
  const none = { predicted, broker: broker([attested(digests.toReversed()), attested([])]) }
  assert.equal(await explainMachine('db', rtmr0, none), undefined)
})
