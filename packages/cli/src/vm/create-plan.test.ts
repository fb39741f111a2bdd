import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { VmTee } from '@cloister/protocol/hostd-vm-api'
import { isCode } from '@cloister/protocol/testing'
import { parseCommandLine } from '../command-line.ts'
import { readCreatePlan, shieldOf, VM_CREATE_OPTIONS } from './create-plan.ts'

const plan = (...words: string[]) =>
  readCreatePlan(
    parseCommandLine(
      { name: 'vm create', words: 2 },
      { usage: '', options: VM_CREATE_OPTIONS, positionals: [1, 1], run: async () => 0 },
      words,
    ),
  )
const shield = (tee: VmTee, ...words: string[]) =>
  shieldOf(plan('box', '--image', 'debian-12', ...words), tee)

describe('readCreatePlan()', () => {
  test('fills in what was not said', () => {
    assert.deepEqual(plan('box', '--image', 'debian-12'), {
      name: 'box',
      image: 'debian-12',
      cpus: 2,
      memoryMiB: 2048,
      diskMiB: undefined,
      tee: 'auto',
      secureBoot: undefined,
      vtpm: undefined,
      integrityMonitoring: undefined,
      secureBootKeys: undefined,
      cloudInit: undefined,
      networkConfig: undefined,
      sshKey: undefined,
      user: undefined,
      encryptDisk: false,
      direct: undefined,
      rtmr0: [],
      processorId: undefined,
      machineFiles: undefined,
      allowed: [],
      ports: [],
      network: { kind: 'user' },
      start: true,
      instances: undefined,
    })
  })

  test('reads sizes, switches, ports and networks', () => {
    const words =
      '--image ./d.raw --cpus 4 -m 4G --disk 20G --secure-boot off --no-start -p 2222:22'
    const read = plan('box', ...words.split(' '))
    assert.deepEqual([read.cpus, read.memoryMiB, read.diskMiB], [4, 4096, 20_480])
    assert.deepEqual([read.secureBoot, read.start], [false, false])
    assert.deepEqual(read.ports, [{ address: '127.0.0.1', host: 2222, guest: 22 }])
    const bridged = plan('box', '--image', 'x', '--network', 'bridge=br0')
    assert.deepEqual(bridged.network, { kind: 'bridge', bridge: 'br0' })
  })

  test('refuses what it cannot read', () => {
    for (const words of [
      ['box'],
      ['Box', '--image', 'x'],
      ['-x', '--image', 'x'],
      ['box', '--image', 'x', '--tee', 'sgx'],
      ['box', '--image', 'x', '--vtpm', 'yes'],
      ['box', '--image', 'x', '--cpus', '0'],
      ['box', '--image', 'x', '--cpus', '65'],
      ['box', '--image', 'x', '--memory', '255M'],
      ['box', '--image', 'x', '--memory', '2T'],
      ['box', '--image', 'x', '--disk', '0'],
      ['box', '--image', 'x', '--disk', '4X'],
      ['box', '--image', 'x', '--network', 'bridge=a/b'],
      ['box', '--image', 'x', '--network', 'host'],
      ['box', '--image', 'x', '-p', '22'],
    ])
      assert.throws(() => plan(...words), isCode('cli.usage'), words.join(' '))
  })
})

describe('shieldOf()', () => {
  test('gives each TEE what it can give', () => {
    const all = { secureBoot: true, vtpm: true, integrityMonitoring: true }
    const nothing = { secureBoot: false, vtpm: false, integrityMonitoring: false }
    assert.deepEqual(shield('none'), all)
    assert.deepEqual(shield('sev'), all)
    assert.deepEqual(shield('sev-es'), { ...all, secureBoot: false })
    for (const tee of ['snp', 'tdx', 'simulated'] as const) assert.deepEqual(shield(tee), nothing)
    assert.deepEqual(shield('none', '--vtpm', 'off'), { ...nothing, secureBoot: true })
  })

  test('refuses what a TEE cannot give, and what does not fit together', () => {
    const refused: readonly (readonly [VmTee, ...string[]])[] = [
      ['snp', '--secure-boot', 'on'],
      ['tdx', '--secure-boot', 'on'],
      ['simulated', '--secure-boot', 'on'],
      ['sev-es', '--secure-boot', 'on'],
      ['snp', '--vtpm', 'on'],
      ['none', '--vtpm', 'off', '--integrity-monitoring', 'on'],
      ['none', '--secure-boot', 'off', '--secure-boot-keys', 'keys'],
      ['none', '--network', 'bridge=br0', '-p', '2222:22'],
      ['none', '--encrypt-disk'],
      ['sev', '--encrypt-disk'],
      ['sev-es', '--encrypt-disk'],
      ['snp', '--network-config', 'net.yaml'],
    ]
    for (const [tee, ...words] of refused)
      assert.throws(() => shield(tee, ...words), isCode('vm.combination-unfit'), words.join(' '))
  })
})
