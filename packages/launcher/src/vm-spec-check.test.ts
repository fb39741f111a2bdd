import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkSpec } from './vm-spec-check.ts'
import type { VmSpec } from './vm-spec.ts'

const SPEC: VmSpec = {
  id: 'a-1',
  runtimeDirectory: '/r',
  stateDirectory: '/s',
  tee: 'simulated',
  mode: 'simulated',
  boot: { kernel: '/k', initrd: '/i' },
  commandLine: 'x',
  cpus: 1,
  memoryMiB: 512,
  scratchMiB: 0,
  hostData: new Uint8Array(32),
  ports: [],
}

test('checkSpec() passes a plain description', () => {
  checkSpec(SPEC)
  checkSpec({ ...SPEC, tee: 'snp', mode: 'hardware' })
  checkSpec({ ...SPEC, tee: 'snp', mode: 'debug' })
})

const WRONG: Readonly<Record<string, Partial<VmSpec>>> = {
  'an id with an option in it': { id: 'a,b=c' },
  'an id that is a path': { id: '../x' },
  'a relative directory': { runtimeDirectory: 'r' },
  'a relative state directory': { stateDirectory: 's' },
  'a relative kernel': { boot: { kernel: 'k', initrd: '/i' } },
  'a relative initrd': { boot: { kernel: '/k', initrd: 'i' } },
  'a relative root': { boot: { kernel: '/k', initrd: '/i', root: 'r' } },
  'a relative firmware': { boot: { kernel: '/k', initrd: '/i', firmware: 'f' } },
  'no vCPU': { cpus: 0 },
  'half a vCPU': { cpus: 1.5 },
  'too little memory': { memoryMiB: 1 },
  'negative scratch': { scratchMiB: -1 },
  'short HOST_DATA': { hostData: new Uint8Array(31) },
  'a vCPU type with an option in it': { vcpuType: 'EPYC,+x' },
  'a NUL in the command line': { commandLine: 'a\0b' },
  'a command line that the kernel cuts': { commandLine: 'a'.repeat(2048) },
  'an initdata disk of odd size': { initdataDisk: new Uint8Array(100) },
  'an initdata disk that is too large': { initdataDisk: new Uint8Array(2 << 20) },
  'a host address with an option in it': { ports: [{ hostAddress: '1,x', host: 1, guest: 1 }] },
  'port zero': { ports: [{ host: 0, guest: 1 }] },
  'a guest port above 65535': { ports: [{ host: 1, guest: 65536 }] },
}
for (const [name, change] of Object.entries(WRONG))
  test(`checkSpec() refuses ${name}`, () => {
    assert.throws(() => checkSpec({ ...SPEC, ...change }), { code: 'vm.spec-invalid' })
  })

test('checkSpec() keeps command lines of one attester mode from the other kind of TEE', () => {
  assert.throws(() => checkSpec({ ...SPEC, mode: 'hardware' }), { code: 'tee.mode-unfit' })
  assert.throws(() => checkSpec({ ...SPEC, tee: 'snp' }), { code: 'tee.mode-unfit' })
  assert.throws(() => checkSpec({ ...SPEC, tee: 'sgx' as never }), { code: 'tee.unknown' })
})
