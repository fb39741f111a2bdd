import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TpmPublicArea } from '@cloister/verifier/tpm/public-area'
import { Enrolments } from './enrolments.ts'
import { RefusalTally } from './refusal-tally.ts'

const endorsementKey = (fingerprint: string) => ({
  spki: new Uint8Array(),
  fingerprint,
  anchor: 'ca',
})
const attestationKey = {} as TpmPublicArea

test('one TPM cannot push out what others have under way, nor one address what others began for it', () => {
  const enrolments = new Enrolments()
  const open = (fingerprint: string, address: string) =>
    enrolments.open({ endorsementKey: endorsementKey(fingerprint), attestationKey, address }, 0)
  const other = open('other', 'x')
  const own = open('victim', 'victim')
  for (let n = 0; n < 5000; n++) open('victim', 'attacker')
  assert.equal(enrolments.claim(other.id, 1)?.id, other.id)
  assert.equal(enrolments.claim(own.id, 1)?.id, own.id)
  assert.equal(enrolments.claim(own.id, 1), undefined)
  const opened = Array.from({ length: 40 }, (_, n) => open('many', `address ${n}`))
  const left = opened.filter(({ id }) => enrolments.claim(id, 1) !== undefined)
  assert.deepEqual(left, opened.slice(-16))
})

test('refusals have entries up to a number for each address and for all, and are counted beyond', () => {
  const tally = new RefusalTally()
  const taken = (address: string, times: number, now = 0) =>
    Array.from({ length: times }, () => tally.take(address, now)).filter(Boolean).length
  assert.equal(taken('a', 500), 10)
  assert.equal(taken('b', 3), 3)
  assert.deepEqual(tally.over(599_999), [])
  assert.deepEqual(tally.over(600_000), [{ address: 'a', refusals: 500 }])
  assert.deepEqual(tally.over(600_000), [])
  assert.equal(taken('a', 11, 600_000), 10)
  let all = 10
  for (let n = 0; n < 5000; n++) all += taken(`address ${n}`, 11, 600_000)
  assert.equal(all, 200)
  const counted = tally.over(1_200_000)
  assert.equal(counted.length, 1025)
  assert.equal(counted[0]?.address, 'others')
  // A clock that goes back.
  taken('a', 20, 9_000_000)
  assert.equal(tally.over(1_000).length, 1)
})
