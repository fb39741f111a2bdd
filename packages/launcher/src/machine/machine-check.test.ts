import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { FirmwareBoot, MachineHardware, VmSpec } from '../vm-spec.ts'
import { checkSpec } from '../vm-spec-check.ts'

const FIRMWARE: FirmwareBoot = { code: '/code', variables: '/variables', secureBoot: true }
const DIRECT = { kernel: '/kernel', initrd: '/initrd', firmware: '/firmware' }
const MACHINE: MachineHardware = {
  systemDisk: { path: '/disk', format: 'qcow2' },
  seedDisk: { path: '/seed' },
  vtpm: { stateDirectory: '/tpm', key: '/tpm.key' },
  network: { kind: 'user' },
  hasConsole: true,
}
const PLAIN: VmSpec = {
  id: 'vm',
  runtimeDirectory: '/r',
  stateDirectory: '/s',
  tee: 'none',
  mode: 'hardware',
  boot: FIRMWARE,
  machine: MACHINE,
  commandLine: '',
  cpus: 1,
  memoryMiB: 512,
  scratchMiB: 0,
  hostData: new Uint8Array(32),
  ports: [],
}
const BRIDGE = { kind: 'bridge', bridge: 'br0', mac: '02:00:00:00:00:01' } as const

test('checkSpec() takes what each TEE can give', () => {
  const unsecured = { ...FIRMWARE, secureBoot: false }
  const good: Partial<VmSpec>[] = [
    {},
    { boot: unsecured },
    { tee: 'sev' },
    { tee: 'sev-es', boot: unsecured },
    { tee: 'snp', boot: DIRECT },
    { tee: 'tdx', boot: DIRECT },
    { tee: 'simulated', mode: 'simulated', boot: DIRECT },
    { machine: { ...MACHINE, network: BRIDGE } },
  ]
  for (const change of good) checkSpec({ ...PLAIN, ...change })
})

const UNFIT: readonly [string, Partial<VmSpec>][] = [
  ['Secure Boot variables under sev-es', { tee: 'sev-es' }],
  ['a boot by firmware under snp', { tee: 'snp' }],
  ['a boot by firmware under tdx', { tee: 'tdx' }],
  ['a boot by firmware under se', { tee: 'se' }],
  ['a boot by firmware under the simulation', { tee: 'simulated', mode: 'simulated' }],
  ['a vTPM under se', { tee: 'se', boot: DIRECT }],
]
for (const [name, change] of UNFIT)
  test(`checkSpec() refuses ${name}`, () => {
    assert.throws(() => checkSpec({ ...PLAIN, ...change }), { code: 'tee.machine-unfit' })
  })

const machine = (change: Partial<MachineHardware>) => ({ machine: { ...MACHINE, ...change } })
const bridge = (change: Partial<typeof BRIDGE> | { bridge: string } | { mac: string }) =>
  machine({ network: { ...BRIDGE, ...change } })
const INVALID: readonly [string, Partial<VmSpec>][] = [
  ['a direct boot without a TEE', { boot: DIRECT }],
  ['another attester mode without a TEE', { mode: 'debug' }],
  ['a relative path of the firmware', { boot: { ...FIRMWARE, code: 'code' } }],
  ['a relative path of the disk', machine({ systemDisk: { path: 'disk', format: 'raw' } })],
  [
    'another format',
    machine({ systemDisk: { path: '/disk', format: 'vmdk' as unknown as 'raw' } }),
  ],
  ['a relative path of the seed', machine({ seedDisk: { path: 'seed' } })],
  ['a relative path of the key', machine({ vtpm: { stateDirectory: '/t', key: 'k' } })],
  ['a bridge with an option in its name', bridge({ bridge: 'br0,x=y' })],
  ['a bridge that is a folder', bridge({ bridge: '..' })],
  ['a long name of a bridge', bridge({ bridge: 'a234567890123456' })],
  ['an address of a group', bridge({ mac: '03:00:00:00:00:01' })],
  ['an address with an option in it', bridge({ mac: '02:00:00:00:00:01,x' })],
  [
    'published ports on a bridge',
    { machine: { ...MACHINE, network: BRIDGE }, ports: [{ host: 22, guest: 22 }] },
  ],
]
for (const [name, change] of INVALID)
  test(`checkSpec() refuses ${name}`, () => {
    assert.throws(() => checkSpec({ ...PLAIN, ...change }), { code: 'vm.spec-invalid' })
  })

test('checkSpec() refuses a boot by firmware without a machine', () => {
  const { machine: _, ...rest } = PLAIN
  assert.throws(() => checkSpec(rest), { code: 'vm.spec-invalid' })
})
