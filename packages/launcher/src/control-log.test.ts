import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { readEnd, trimControlLog } from './control-log.ts'
import { CONTROL_LOG } from './vm-files.ts'
import type { VmState } from './vm-spec.ts'

const runtimeDirectory = mkdtempSync(join(tmpdir(), 'cloister-control-'))
const file = join(runtimeDirectory, CONTROL_LOG)
const state = { runtimeDirectory, hasMemoryDump: true } as VmState
after(() => {
  rmSync(runtimeDirectory, { recursive: true })
})

const event = (name: string, data = {}) =>
  `${JSON.stringify({ timestamp: { seconds: 1_795_691_109, microseconds: 1 }, event: name, data })}\r\n`
const shutdown = (reason: string) => event('SHUTDOWN', { guest: true, reason })

async function reasonOf(text: string): Promise<string | undefined> {
  writeFileSync(file, text)
  return (await readEnd(state))?.reason
}

test('readEnd() tells why a machine ended that nobody watched', async () => {
  assert.equal(await readEnd(state), undefined)
  const greeting = '{"QMP": {}}\r\n{"return": {}}\r\n'
  assert.equal(
    await reasonOf(`${greeting}${event('RESUME')}${shutdown('guest-reset')}`),
    'guest-reset',
  )
  assert.deepEqual((await readEnd(state))?.at, new Date(1_795_691_109_000))
  assert.equal(await reasonOf(shutdown('guest-shutdown')), 'guest-shutdown')
  assert.equal(await reasonOf(shutdown('host-signal')), 'killed')
  assert.equal(
    await reasonOf(`${event('GUEST_PANICKED')}${shutdown('guest-panic')}`),
    'guest-panic',
  )
  // A container's guest resets only as it panics.
  writeFileSync(file, shutdown('guest-reset'))
  const container = { runtimeDirectory } as VmState
  assert.equal((await readEnd(container))?.reason, 'guest-panic')
})

test('readEnd() takes nothing else for an end', async () => {
  for (const text of [
    '',
    greetingOnly(),
    shutdown('host-qmp-quit'),
    shutdown('guest-reset').slice(0, -10),
    '{"event": "SHUTDOWN"}\n{"event": "SHUTDOWN", "data": {"reason": 7}}\nnull\n7\n',
    // Too far back: only the end of a log is read.
    `${shutdown('guest-reset')}${event('RTC_CHANGE').repeat(1000)}`,
  ])
    assert.equal(await reasonOf(text), undefined, text.slice(0, 80))
})

function greetingOnly(): string {
  return '{"QMP": {"version": {}}}\r\n'
}

test('trimControlLog() bounds the log, and leaves a short one', async () => {
  writeFileSync(file, event('RTC_CHANGE'))
  await trimControlLog(runtimeDirectory)
  assert.ok(statSync(file).size > 0)
  writeFileSync(file, event('RTC_CHANGE').repeat(4000))
  await trimControlLog(runtimeDirectory)
  assert.equal(statSync(file).size, 0)
  await trimControlLog(join(runtimeDirectory, 'none'))
})
