import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Sessions, type OpenSession } from './sessions.ts'

const LIMITS = { nonces: 1024, sessionMs: 100, tokenBytes: 1000 }

/** Goes the whole way with a token of that length. */
function attested(sessions: Sessions, now: number, address = 'a', length = 5): string {
  const opened = sessions.open('snp', now)
  const claimed = sessions.claim(opened.id, now)
  assert.ok(claimed !== undefined && 'nonce' in claimed)
  sessions.attest(claimed, 'x'.repeat(length), address)
  return opened.id
}

test('a session is in its cookie until it is attested: nonce, TEE and end come back as they were given', () => {
  const sessions = new Sessions(LIMITS)
  const opened = sessions.open('snp', 1_795_689_470_476)
  assert.match(opened.nonce, /^[A-Za-z0-9+/]{43}=$/)
  assert.equal(opened.expiresAt, 1_795_689_470_576)
  assert.deepEqual(sessions.claim(opened.id, 1_795_689_470_575), opened)
  assert.equal(sessions.size, 0)
})

test('Sessions end with their time, attested or not', () => {
  const sessions = new Sessions(LIMITS)
  const late = sessions.open('snp', 0)
  assert.equal(sessions.claim(late.id, 100), undefined)
  const id = attested(sessions, 200)
  assert.equal(sessions.find(id, 299)?.token, 'xxxxx')
  assert.equal(sessions.find(id, 300), undefined)
  assert.equal(sessions.claim(id, 300), undefined)
  assert.equal(sessions.size, 0)
})

test('Sessions.claim() gives a nonce once, and an attested session again and again', () => {
  const sessions = new Sessions(LIMITS)
  const session = sessions.open('snp', 0)
  assert.deepEqual(sessions.claim(session.id, 1), session)
  assert.equal(sessions.claim(session.id, 1), undefined)
  sessions.attest(session, 'token', 'a')
  for (const claimed of [sessions.claim(session.id, 1), sessions.claim(session.id, 1)])
    assert.ok(claimed !== undefined && 'token' in claimed && claimed.token === 'token')
  assert.equal(sessions.claim('unknown', 1), undefined)
})

test('a nonce is spent in whatever text its cookie comes back, and no changed or foreign cookie is taken', () => {
  const sessions = new Sessions(LIMITS)
  const { id } = sessions.open('snp', 0)
  for (let index = 0; index < id.length; index++) {
    const other = id[index] === 'A' ? 'B' : 'A'
    const changed = id.slice(0, index) + other + id.slice(index + 1)
    if (Buffer.from(changed, 'base64url').equals(Buffer.from(id, 'base64url'))) continue
    assert.equal(sessions.claim(changed, 1), undefined)
  }
  for (const foreign of ['', 'A', 'A'.repeat(1e6), new Sessions(LIMITS).open('snp', 0).id])
    assert.equal(sessions.claim(foreign, 1), undefined)
  assert.notEqual(sessions.claim(id, 1), undefined)
  const padded = Buffer.from(id, 'base64url').toString('base64')
  for (const text of [id, `${id}=`, `${id}!`, padded])
    assert.equal(sessions.claim(text, 1), undefined)
})

test('a flood of challenges takes no place: a session that was opened before it can be attested after it', () => {
  const sessions = new Sessions(LIMITS)
  const first = sessions.open('snp', 0)
  for (let n = 0; n < LIMITS.nonces - 1; n++) sessions.open('snp', 1)
  assert.deepEqual(sessions.claim(first.id, 2), first)
  assert.equal(sessions.size, 0)
})

test('a nonce after which more were given than are remembered counts as spent, used or not', () => {
  const sessions = new Sessions(LIMITS)
  const used = sessions.open('snp', 0)
  const unused = sessions.open('snp', 0)
  sessions.claim(used.id, 0)
  for (let n = 0; n < LIMITS.nonces; n++) sessions.open('snp', 1)
  assert.equal(sessions.claim(used.id, 2), undefined)
  assert.equal(sessions.claim(unused.id, 2), undefined)
  const opened: OpenSession[] = []
  for (let n = 0; n < 3 * LIMITS.nonces; n++) {
    const session = sessions.open('snp', 3)
    if (n % 3 === 0) opened.push(session)
    else assert.deepEqual(sessions.claim(session.id, 3), session)
  }
  const taken = opened.filter(({ id }) => sessions.claim(id, 4) !== undefined)
  assert.deepEqual(taken, opened.slice(-Math.floor(LIMITS.nonces / 3)))
})

test('Sessions never repeat an id or a nonce', () => {
  const sessions = new Sessions(LIMITS)
  const opened = Array.from({ length: 500 }, () => sessions.open('snp', 0))
  assert.equal(new Set(opened.flatMap(({ id, nonce }) => [id, nonce])).size, 1000)
})

test('attested sessions hold so many bytes of tokens: the oldest go, and make room again when they end', () => {
  const sessions = new Sessions(LIMITS)
  const held = (ids: readonly string[], now: number) =>
    ids.map((id) => sessions.find(id, now) !== undefined)
  const first = [0, 1, 2].map((now) => attested(sessions, now, 'a', 400))
  assert.deepEqual(held(first, 3), [false, true, true])
  assert.equal(sessions.sweep(200), 2)
  assert.equal(sessions.size, 0)
  const second = [200, 201].map((now) => attested(sessions, now, 'a', 400))
  assert.deepEqual(held(second, 202), [true, true])
})

test('who attests a great deal from one address pushes out sessions of that address alone', () => {
  const sessions = new Sessions(LIMITS)
  const ours = attested(sessions, 0, 'ours', 200)
  const theirs = Array.from({ length: 20 }, () => attested(sessions, 1, 'theirs', 100))
  assert.notEqual(sessions.find(ours, 2), undefined)
  assert.equal(theirs.filter((id) => sessions.find(id, 2) !== undefined).length, 8)
  assert.notEqual(sessions.find(theirs.at(-1), 2), undefined)
})

test('a session has a number of reports', () => {
  const sessions = new Sessions(LIMITS)
  const id = attested(sessions, 0)
  const reported = Array.from({ length: 10 }, () => {
    const session = sessions.find(id, 1)
    return session !== undefined && sessions.takeReport(session)
  })
  assert.deepEqual(reported, [...Array.from({ length: 8 }, () => true), false, false])
})
