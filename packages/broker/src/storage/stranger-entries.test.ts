import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AuditContent } from '@cloister/protocol/broker-admin-api'
import { groupOfWorkload, StrangerEntries } from './stranger-entries.ts'

const WINDOW_MS = 600_000

function kept() {
  const entries: AuditContent[] = []
  const strangers = new StrangerEntries(
    { append: (entry) => entries.push(entry) },
    { perAddress: 3, inAll: 5 },
  )
  let n = 0
  return {
    entries,
    strangers,
    /** Refusals of an address. */
    refuse: (
      address: string,
      times: number,
      time = 0,
      kind: 'enrolment' | 'attestation' = 'enrolment',
    ) => {
      for (let nth = 0; nth < times; nth++)
        strangers.append(address, {
          time,
          requestId: String(n++),
          kind,
          outcome: 'refused',
          checks: [],
        })
    },
    /** Attestations of a workload's guests. */
    attest: (workload: string, address: string, times: number) => {
      for (let nth = 0; nth < times; nth++)
        strangers.append(
          address,
          { time: 0, requestId: String(n++), kind: 'attestation', outcome: 'allowed', checks: [] },
          groupOfWorkload(workload),
        )
    },
    told: () => entries.filter(({ subject }) => subject !== undefined),
  }
}

test('an address has a number of entries of its own; what is beyond is told with the first refusal after ten minutes', () => {
  const { entries, refuse, told } = kept()
  refuse('a', 500)
  refuse('b', 3, WINDOW_MS - 1)
  assert.equal(entries.length, 13)
  refuse('b', 1, WINDOW_MS)
  const [entry] = told()
  assert.deepEqual(
    [entry?.code, entry?.outcome, entry?.subject, entry?.checks[0]?.received],
    [
      'tpm.enrolment.many',
      'refused',
      '490 refused, from 1970-01-01T00:00:00.000Z to 1970-01-01T00:00:00.000Z',
      '490 of a',
    ],
  )
  assert.equal(entries.length, 15)
})

test('every refusal has an entry or is counted, of however many addresses', () => {
  const { entries, refuse, strangers, told } = kept()
  for (let n = 0; n < 5000; n++) refuse(`address ${n}`, 2, n)
  assert.equal(entries.length, 200)
  strangers.flush(5000)
  const [entry, ...more] = told()
  assert.equal(more.length, 0)
  assert.match(entry?.subject ?? '', /^9800 refused, from 1970-01-01T00:00:00\.100Z to /)
  const received = entry?.checks[0]?.received ?? ''
  assert.match(received, / and \d+ of 1008 and more other addresses$/)
  const numbers = [...received.matchAll(/(\d+) of/g)].map(([, number]) => Number(number))
  assert.equal(
    numbers.reduce((sum, number) => sum + number, 0),
    9800,
  )
})

test('whoever reads sees what was counted so far, once, and has no bound lifted by it', () => {
  const { entries, refuse, strangers, told } = kept()
  refuse('a', 30)
  strangers.flush(1)
  strangers.flush(2)
  refuse('a', 1, 3)
  strangers.flush(4)
  assert.deepEqual(
    told().map(({ checks }) => checks[0]?.received),
    ['20 of a', '1 of a'],
  )
  assert.equal(entries.length, 12)
})

test('kinds have bounds of their own, and a clock that goes back keeps no window open', () => {
  const { entries, refuse, told } = kept()
  refuse('a', 100, 9_000_000)
  refuse('a', 1, 9_000_000, 'attestation')
  assert.equal(entries.length, 11)
  refuse('a', 1, 1000)
  assert.equal(told().length, 1)
  assert.equal(entries.length, 13)
})

test('attestations of a workload have bounds by address and in all, apart from strangers and from other workloads', () => {
  const { entries, attest, refuse, strangers, told } = kept()
  refuse('a', 1000, 0, 'attestation')
  const ofStrangers = entries.length
  for (const address of ['a', 'b', 'c']) attest('demo', address, 100)
  assert.equal(entries.length - ofStrangers, 5)
  attest('other', 'a', 3)
  assert.equal(entries.length - ofStrangers, 8)
  strangers.flush(1)
  const ofDemo = told().find(({ workload }) => workload === 'demo')
  assert.deepEqual(
    [ofDemo?.outcome, ofDemo?.code, ofDemo?.checks[0]?.code, ofDemo?.checks[0]?.received],
    ['allowed', undefined, 'attestation.many', '100 of c, 98 of b, 97 of a'],
  )
  assert.equal(told().filter(({ workload }) => workload === 'other').length, 0)
})
