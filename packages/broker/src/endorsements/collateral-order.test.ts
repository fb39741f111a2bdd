import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  FAKE_PCK,
  FakeIntel,
  fakeQeIdentity,
  fakeTcbInfo,
} from '@cloister/verifier/testing/fake-intel'
import { makeBundle } from '@cloister/verifier/endorsements/bundle'
import { endorsementItems } from '@cloister/verifier/endorsements/bundle-item'
import { giveCollateral } from '../testing/fake-td.ts'
import { startTestBroker } from '../testing/test-broker.ts'
import { isNewer, rolledBack } from './collateral-order.ts'

const HOUR_MS = 3_600_000
const NOW = Date.now()
const at = (hours: number) => new Date(NOW + hours * HOUR_MS)
const intel = new FakeIntel()

/** Statements of these evaluations, issued and ending in hours from now. */
function statements(tcb: number, qe: number, from: number, until: number) {
  return {
    tcbInfos: [
      intel.statement('tcbInfo', {
        ...fakeTcbInfo('tdx', at(from), at(until)),
        tcbEvaluationDataNumber: tcb,
      }),
    ],
    qeIdentities: [
      intel.statement('enclaveIdentity', {
        ...fakeQeIdentity('tdx', at(from), at(until)),
        tcbEvaluationDataNumber: qe,
      }),
    ],
  }
}

function bundle(tcb: number, qe: number, from: number, until: number) {
  return makeBundle({
    tee: 'tdx',
    subject: { fmspc: FAKE_PCK.fmspc, pceId: '0000', ca: 'platform' },
    fetchedAt: at(0),
    items: endorsementItems({
      ...intel.endorsements('tdx', at(-1), at(100)),
      ...statements(tcb, qe, from, until),
    }),
  })
}

test('the evaluation decides, then the day of issue, whatever ends later', () => {
  const known = bundle(17, 17, -10, 20)
  const cases = [
    [bundle(18, 17, -10, 5), true, undefined],
    [bundle(17, 17, -5, 5), true, undefined],
    [bundle(17, 17, -11, 40), false, undefined],
    [known, false, undefined],
    // The statements as they were, the lists of the same end.
    [bundle(17, 17, -10, 20), true, undefined],
    [bundle(16, 17, -1, 40), false, /^TCB info of TDX [0-9a-f]{12} 0000 of evaluation 16, not 17$/],
    [bundle(18, 16, -1, 40), false, /^identity of TD_QE of evaluation 16, not 17$/],
  ] as const
  for (const [fresh, newer, said] of cases) {
    assert.equal(isNewer(fresh, known), newer)
    if (said === undefined) assert.equal(rolledBack(fresh, known), undefined)
    else assert.match(rolledBack(fresh, known) ?? '', said)
  }
})

test('the owner rolls back to an earlier evaluation only on purpose', async () => {
  await using t = await startTestBroker()
  await giveCollateral(t, intel, statements(17, 17, -1, 20))
  await assert.rejects(
    giveCollateral(t, intel, statements(16, 17, -1, 40)),
    /409 .*broker\.collateral-earlier/,
  )
  await t.owner('DELETE', `/intel-collateral/${FAKE_PCK.fmspc}`)
  await giveCollateral(t, intel, statements(16, 17, -1, 40))
})
