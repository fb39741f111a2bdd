import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  encodeInitdata,
  initdataOf,
  parseAnyWorkload,
  parseInitdata,
  parseWorkload,
} from './initdata.ts'
import { isCode } from './testing.ts'
import { isVmWorkload, type VmWorkloadInput } from './vm-workload.ts'

const SEALED = {
  kind: 'sealed',
  id: 'ab'.repeat(16),
  dataBytes: 1 << 30,
  source: 'cd'.repeat(32),
  key: 'vm-db/disk/key',
  nextKey: 'vm-db/disk/next-key',
  recoveryKey: 'vm-db/disk/recovery-key',
} as const
const WORKLOAD: VmWorkloadInput = {
  version: 1,
  name: 'db',
  revision: 1,
  broker: { url: 'https://broker.invalid', spki: ['cd'.repeat(32)] },
  vm: { disk: SEALED, root: { fileSystem: 'ext4' } },
}

const read = (workload: object) =>
  parseAnyWorkload(parseInitdata(encodeInitdata(initdataOf(workload as VmWorkloadInput))))

test('parseAnyWorkload() tells a VM by its member and fills in defaults; parseWorkload() takes no VM', () => {
  const workload = read(WORKLOAD)
  assert.ok(isVmWorkload(workload))
  assert.equal(workload.vm.root.init, '/sbin/init')
  assert.equal(workload.vm.root.options, 'ro')
  assert.deepEqual(workload.network.targets, ['broker'])
  const initdata = initdataOf(WORKLOAD)
  assert.throws(() => parseWorkload(initdata), isCode('initdata.workload-malformed'))
})

test('parseAnyWorkload() refuses what is of both kinds, unknown, or could be more than a path or an option', () => {
  const vm = WORKLOAD.vm
  for (const workload of [
    { ...WORKLOAD, container: { id: 'x' } },
    { ...WORKLOAD, vm: { ...vm, hook: '/bin/sh' } },
    { ...WORKLOAD, vm: { ...vm, disk: { kind: 'plain', partition: 0 } } },
    { ...WORKLOAD, vm: { ...vm, disk: { kind: 'plain', partition: 1, key: SEALED.key } } },
    { ...WORKLOAD, vm: { ...vm, disk: { ...SEALED, dataBytes: 1000 } } },
    { ...WORKLOAD, vm: { ...vm, disk: { ...SEALED, key: '../x' } } },
    { ...WORKLOAD, vm: { ...vm, disk: { ...SEALED, source: undefined } } },
    { ...WORKLOAD, vm: { ...vm, disk: { ...SEALED, source: 'cd' } } },
    { ...WORKLOAD, vm: { ...vm, root: { fileSystem: 'vfat' } } },
    { ...WORKLOAD, vm: { ...vm, root: { fileSystem: 'ext4', options: 'ro /bin/sh' } } },
    { ...WORKLOAD, vm: { ...vm, root: { fileSystem: 'ext4', init: '/sbin/../init' } } },
    { ...WORKLOAD, vm: { ...vm, root: { fileSystem: 'ext4', init: '/sbin/in it' } } },
    { ...WORKLOAD, vm: { ...vm, absentMounts: ['/boot\nExecStart=x'] } },
  ])
    assert.throws(
      () => read(workload),
      isCode('initdata.workload-malformed'),
      JSON.stringify(workload),
    )
})
