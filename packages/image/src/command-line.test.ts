import assert from 'node:assert/strict'
import { test } from 'node:test'

import { commandLines } from './command-line.ts'

const lines = commandLines({ rootHash: 'ab', salt: 'cd', dataBlocks: 3, hashOffset: 12288 })

test('commandLines() names the mode and the verified root first', () => {
  for (const [mode, line] of Object.entries(lines))
    assert.ok(line.startsWith(`cloister.mode=${mode} cloister.root=ab,3,12288,cd `))
})

test('commandLines() gives a console to debug alone', () => {
  assert.match(lines.debug, / console=ttyS0$/)
  for (const mode of ['hardware', 'simulated', 'probe'] as const) {
    assert.doesNotMatch(lines[mode], /ttyS0/)
    assert.match(lines[mode], / 8250\.nr_uarts=0 console=null$/)
  }
})

test('commandLines() carries the hardening in every mode', () => {
  const options = [
    'panic=-1',
    'oops=panic',
    'lockdown=confidentiality',
    'module.sig_enforce=1',
    'random.trust_bootloader=off',
    'sysctl.kernel.sysrq=0',
  ]
  for (const line of Object.values(lines))
    for (const option of options) assert.ok(line.split(' ').includes(option), option)
})

test('commandLines() stays below the length that the kernel reads', () => {
  for (const line of Object.values(lines)) assert.ok(line.length + 64 * 2 + 20 < 2048)
})
