import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { identifyProcess, isAlive, killProcess, parseStat, untilGone } from './process-identity.ts'

const FIELDS = 'S 1 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 0 0'

test('parseStat() counts fields from the last parenthesis of the name', () => {
  assert.deepEqual(parseStat(7, `7 (a) b) S) ${FIELDS}`), { pid: 7, startTime: '4711' })
})

test('parseStat() takes a zombie for gone, and nonsense too', () => {
  assert.equal(parseStat(7, `7 (x) ${FIELDS.replace('S', 'Z')}`), undefined)
  assert.equal(parseStat(7, '7 (x) S'), undefined)
})

test('killProcess() kills that very process and no other of its pid', async () => {
  const child = spawn('sleep', ['60'])
  await once(child, 'spawn')
  const identity = await identifyProcess(child.pid ?? 0)
  assert.ok(identity)
  await killProcess({ ...identity, startTime: '1' })
  assert.equal(await isAlive(identity), true)
  assert.equal(await untilGone(identity, 1), false)
  await killProcess(identity)
  assert.equal(await isAlive(identity), false)
  await killProcess(identity)
})
