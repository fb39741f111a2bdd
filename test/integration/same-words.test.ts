/** Words that `protocol` and `verifier` both have, for neither imports the other. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { INTEL_TCB_STATUSES } from '@cloister/protocol/broker-admin-api'
import { BASELINE_KNOWLEDGE } from '@cloister/protocol/integrity-baseline'
import { TCB_STATUSES } from '@cloister/verifier/dcap/tcb-status'
import { KNOWLEDGE } from '@cloister/verifier/eventlog/integrity-baseline'

test('policies take each status of Intel that the verifier knows, but Revoked', () => {
  assert.deepEqual([...INTEL_TCB_STATUSES, 'Revoked'].toSorted(), [...TCB_STATUSES].toSorted())
})

test('a baseline that the verifier makes is one that hostd keeps', () => {
  assert.deepEqual(BASELINE_KNOWLEDGE, KNOWLEDGE)
})
