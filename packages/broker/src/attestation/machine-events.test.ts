import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readAuditLeaf } from '@cloister/protocol/audit-entry'
import { AuditListSchema } from '@cloister/protocol/broker-admin-api'
import { fromHex } from '@cloister/verifier/bytes/hex'
import { WITH_VECTORS, vector } from '@cloister/verifier/testing/vectors'
import { FAKE_RTMR0, tdxWorld, type FakeTd } from '../testing/fake-td.ts'
import { machineEvents } from './machine-events.ts'

/** What the log of a real TD adds up to. */
const RTMR0 =
  '8566f998798db09443b244c62de9a3041fb02e2e6936c4396d784bba2e90177329ec5aba3bb484404f2ab9cc90abe193'

const log = () => Buffer.from(vector('eventlog/CCEL_data_ovmf'))

test(
  'machineEvents() tells the events of a log that adds up to the register',
  WITH_VECTORS,
  async () => {
    const events = await machineEvents(log().toString('base64'), RTMR0)
    assert.equal(events.length, 14)
    assert.deepEqual(events[0], {
      code: 'attestation.machine-event',
      outcome: 'not-checked',
      received:
        '0b8772e5b0b41b83e6044a68397e02f49fb47066b4fbe4917ea2c45c64f323fdacbb37948f821ebaf8bc9c938ba8a749',
      where: '(machine configuration: TdxTable)',
    })
    assert.equal(events[2]?.where, 'Secure Boot is not set up')
  },
)

test('machineEvents() tells nothing of any other log', WITH_VECTORS, async () => {
  const changed = log()
  // A byte of the first digest.
  const at = changed.indexOf(fromHex('0b8772e5b0b41b83'))
  changed.writeUInt8(1, at)
  for (const other of [
    null,
    undefined,
    7,
    '',
    'no base64!',
    Buffer.from('no log').toString('base64'),
    changed.toString('base64'),
    log().subarray(0, 500).toString('base64'),
    'A'.repeat((1 << 20) + 1),
  ])
    assert.deepEqual(await machineEvents(other, RTMR0), [])
  assert.deepEqual(await machineEvents(log().toString('base64'), FAKE_RTMR0), [])
})

test(
  'the audit has them beside the attestation of a registered workload alone',
  WITH_VECTORS,
  async () => {
    await using world = await tdxWorld()
    const eventLog = log().toString('base64')
    const report = { rtmr0: fromHex(RTMR0) }
    const counted = async (guest: FakeTd) => {
      await world.t.client.attest(guest)
      const { entries } = AuditListSchema.parse(await world.t.owner('GET', '/audit?limit=1'))
      const [checks = []] = entries.map((entry) => readAuditLeaf(entry).checks)
      return checks.filter(({ code }) => code === 'attestation.machine-event').length
    }
    assert.equal(await counted(world.guest({ report, eventLog })), 14)
    assert.equal(await counted(world.guest({ report })), 0)
    const initdata = Buffer.from(`${Buffer.from(world.initdata).toString()}\n`)
    assert.equal(await counted(world.guest({ report, eventLog, initdata })), 0)
  },
)
