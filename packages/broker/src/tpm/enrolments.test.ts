import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Enrolments, isSecretOf } from './enrolments.ts'

const enrolmentOf = (fingerprint: string) => ({
  endorsementKey: { fingerprint, anchor: 'ca' },
  attestationKey: Buffer.from(`key of ${fingerprint}`),
})

test('nobody who begins in the name of a TPM, or of others, pushes out what it has under way', () => {
  const enrolments = new Enrolments()
  const own = enrolments.open(enrolmentOf('victim'), 0)
  for (let n = 0; n < 5000; n++) enrolments.open(enrolmentOf(n % 2 ? 'victim' : `other ${n}`), 0)
  const { secret = Buffer.alloc(0), ...claimed } = enrolments.claim(own.id, 59_999) ?? {}
  assert.deepEqual(claimed, { ...enrolmentOf('victim'), id: own.id, expiresAt: 60_000 })
  assert.equal(isSecretOf(own, secret), true)
})

test('an enrolment takes one answer, within its minute, under its own id only', () => {
  const enrolments = new Enrolments()
  const open = () => enrolments.open(enrolmentOf('a'), 0).id
  const [spent, late, ok] = [open(), open(), open()]
  assert.ok(enrolments.claim(spent, 1))
  assert.equal(enrolments.claim(spent, 2), undefined)
  assert.equal(enrolments.claim(late, 60_000), undefined)
  // The last character may hold bits that no byte takes; a text with others is another text of the same bytes.
  const others = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/'.split('')
  for (const last of others.filter((character) => character !== ok.at(-1)))
    assert.equal(enrolments.claim(ok.slice(0, -1) + last, 1), undefined)
  for (const id of [
    '',
    'A'.repeat(37),
    `${ok}=`,
    `${ok}A`,
    new Enrolments().open(enrolmentOf('a'), 0).id,
  ])
    assert.equal(enrolments.claim(id, 1), undefined)
  assert.ok(enrolments.claim(ok, 1))
})

test('what is remembered of answers is bounded, and whoever gives many reaches no other enrolment', () => {
  const enrolments = new Enrolments()
  const own = enrolments.open(enrolmentOf('victim'), 0)
  for (let n = 0; n < 5000; n++)
    assert.ok(enrolments.claim(enrolments.open(enrolmentOf('x'), 0).id, 1))
  assert.ok(enrolments.claim(own.id, 1))
  assert.equal(enrolments.claim(own.id, 1), undefined)
})
