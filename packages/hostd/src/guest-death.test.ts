import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deathError } from './guest-death.ts'

const at = new Date(0)

test('deathError() takes the code that the guest gave, and names the stage', () => {
  const error = deathError(
    { reason: 'guest-shutdown', at, guestCode: 'initdata.mismatch', lastStage: 'agent' },
    'root',
  )
  assert.equal(error.code, 'initdata.mismatch')
  assert.equal(error.details.where, 'guest, after stage agent')
})

test('deathError() does not believe a code that does not exist or is not a guest’s to give', () => {
  for (const guestCode of ['no.such', 'constructor', 'tostring', 'agent.', 'host.disk-full'])
    assert.equal(
      deathError({ reason: 'guest-shutdown', at, guestCode }, 'root').code,
      'guest.code-unknown',
    )
})

test('deathError() without a code is guest.died after the last stage known', () => {
  const error = deathError({ reason: 'killed', at, signal: 'SIGKILL' }, 'verity')
  assert.equal(error.code, 'guest.died')
  assert.equal(error.details.where, 'guest, after stage verity')
  const silent = deathError({ reason: 'guest-panic', at }, undefined)
  assert.equal(silent.details.where, 'guest, before its first stage')
  assert.match(error.details.why ?? '', /SIGKILL/)
})
