import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Sessions } from './sessions.ts'

const LIMITS = { sessions: 3, sessionMs: 100, tokenBytes: 1000 }

test('Sessions end with their time, attested or not', () => {
  const sessions = new Sessions(LIMITS)
  const { id } = sessions.open('snp', 0)
  assert.equal(sessions.find(id, 99)?.id, id)
  assert.equal(sessions.find(id, 100), undefined)
  const attested = sessions.open('snp', 200)
  sessions.claim(attested.id, 200)
  sessions.attest(attested, 'token')
  assert.equal(sessions.find(attested.id, 299)?.token, 'token')
  assert.equal(sessions.find(attested.id, 300), undefined)
})

test('Sessions.claim() gives a nonce once, and an attested session again and again', () => {
  const sessions = new Sessions(LIMITS)
  const session = sessions.open('snp', 0)
  assert.equal(sessions.claim(session.id, 1)?.nonce, session.nonce)
  assert.equal(sessions.claim(session.id, 1), undefined)
  sessions.attest(session, 'token')
  assert.equal(sessions.claim(session.id, 1)?.token, 'token')
  assert.equal(sessions.claim(session.id, 1)?.token, 'token')
  assert.equal(sessions.claim('unknown', 1), undefined)
})

test('Sessions are bounded: the oldest goes', () => {
  const sessions = new Sessions(LIMITS)
  const opened = [1, 2, 3, 4].map((time) => sessions.open('snp', time))
  assert.equal(sessions.size, 3)
  assert.equal(sessions.find(opened[0]?.id, 5), undefined)
  assert.equal(sessions.find(opened[3]?.id, 5)?.id, opened[3]?.id)
})

test('Sessions never repeat an id or a nonce', () => {
  const sessions = new Sessions({ ...LIMITS, sessions: 1000 })
  const opened = Array.from({ length: 500 }, () => sessions.open('snp', 0))
  assert.equal(new Set(opened.flatMap(({ id, nonce }) => [id, nonce])).size, 1000)
})

test('Sessions hold so many bytes of tokens: the oldest go, and make room again when they end', () => {
  const sessions = new Sessions({ ...LIMITS, sessions: 100 })
  const attested = (now: number) => {
    const session = sessions.open('snp', now)
    sessions.claim(session.id, now)
    sessions.attest(session, 'x'.repeat(400))
    return session.id
  }
  const first = [attested(0), attested(1), attested(2)]
  const held = (ids: readonly string[], now: number) =>
    ids.map((id) => sessions.find(id, now) !== undefined)
  assert.deepEqual(held(first, 3), [false, true, true])
  sessions.sweep(200)
  assert.equal(sessions.size, 0)
  const second = [attested(200), attested(201)]
  assert.deepEqual(held(second, 202), [true, true])
})
