import assert from 'node:assert/strict'
import { test } from 'node:test'
import { exitReason, type EndSigns } from './exit-reason.ts'
import type { VmExitReason } from './vm-spec.ts'

const NOTHING: EndSigns = { shutdownReason: undefined, stop: undefined, isDead: false }

const CASES: readonly [VmExitReason, Partial<EndSigns>][] = [
  ['guest-shutdown', { shutdownReason: 'guest-shutdown', exitCode: 0 }],
  ['guest-panic', { shutdownReason: 'guest-reset', exitCode: 0 }],
  ['guest-panic', { shutdownReason: 'guest-panic', exitCode: 1 }],
  ['guest-reset', { shutdownReason: 'guest-reset', exitCode: 0, isMachine: true }],
  ['stopped', { stop: 'asked', shutdownReason: 'guest-shutdown', exitCode: 0 }],
  ['stopped', { stop: 'asked', shutdownReason: 'host-qmp-quit', exitCode: 0 }],
  ['stop-killed', { stop: 'killed', signal: 'SIGKILL' }],
  ['killed', { signal: 'SIGKILL' }],
  ['killed', { shutdownReason: 'host-signal', exitCode: 0 }],
  ['qemu-failed', { exitCode: 1 }],
  ['qemu-failed', { isDead: true, stop: undefined, signal: 'SIGKILL' }],
  ['unknown', {}],
  ['unknown', { exitCode: 0 }],
]
for (const [reason, signs] of CASES)
  test(`exitReason() is ${reason} for ${JSON.stringify(signs)}`, () => {
    assert.equal(exitReason({ ...NOTHING, ...signs }), reason)
  })
