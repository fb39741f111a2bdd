import assert from 'node:assert/strict'
import { test } from 'node:test'
import { qemuArguments, type GuestHardware, type TeeArguments } from '../qemu-arguments.ts'

const MACHINE = {
  isPlain: true,
  hasSecureBoot: true,
  systemFormat: 'qcow2',
  hasVtpm: true,
  hasConsole: true,
} as const
const HARDWARE: GuestHardware = {
  id: 'abc',
  accelerator: 'tcg',
  isSingleThreaded: true,
  cpus: 2,
  memoryMiB: 1024,
  commandLine: '',
  ports: [{ host: 2222, guest: 22 }],
  debugSerial: false,
  machine: MACHINE,
}
const TEE: TeeArguments = {
  board: 'q35',
  cpu: 'EPYC-Rome',
  machine: [],
  objects: () => [],
  firmware: 'none',
  hasTeePort: false,
}

test('a machine without a TEE: the whole command line', () => {
  const descriptors = { code: 4, variables: 5, system: 6, seed: 7 }
  assert.deepEqual(qemuArguments(HARDWARE, descriptors, TEE).join('\n'), EXPECTED)
})

test('without Secure Boot there is no system management mode, and anybody may write the flash', () => {
  const machine = { ...MACHINE, hasSecureBoot: false }
  const words = qemuArguments({ ...HARDWARE, machine }, { code: 4, variables: 5, system: 6 }, TEE)
  assert.match(words[words.indexOf('-machine') + 1] ?? '', /,smm=off,/)
  assert.ok(!words.includes('driver=cfi.pflash01,property=secure,value=on'))
  assert.ok(!words.join(' ').includes('cloister-seed'))
})

test('a measured machine: disks beside those of the image, the tap, and no reset in place', () => {
  const machine = {
    ...MACHINE,
    isPlain: false,
    hasSecureBoot: false,
    systemFormat: 'raw',
    tap: { name: 'clo0', mac: '02:00:00:00:00:01' },
  } as const
  const descriptors = { kernel: 4, initrd: 5, root: 6, initdata: 7, system: 8 }
  const hardware = { ...HARDWARE, machine, isSingleThreaded: false, ports: [] }
  const words = qemuArguments(hardware, descriptors, {
    ...TEE,
    hasTeePort: true,
  })
  const value = (option: string) => words[words.indexOf(option) + 1]
  assert.equal(value('-action'), 'reboot=shutdown,panic=exit-failure')
  assert.equal(value('-accel'), 'tcg,thread=multi')
  assert.equal(value('-kernel'), '/proc/self/fd/4')
  assert.equal(value('-netdev'), 'tap,id=net0,ifname=clo0,script=no,downscript=no')
  for (const device of [
    'virtio-blk-pci,drive=root,serial=cloister-root,werror=report,rerror=report,disable-legacy=on,iommu_platform=on',
    // Its initrd finds it by the serial: there is no boot index.
    'virtio-blk-pci,drive=system,serial=cloister-system,werror=enospc,rerror=report,disable-legacy=on,iommu_platform=on',
    'virtio-net-pci,netdev=net0,romfile=,disable-legacy=on,iommu_platform=on,mac=02:00:00:00:00:01',
    'tpm-crb,tpmdev=tpm0',
  ])
    assert.ok(words.includes(device), device)
  assert.ok(
    words.includes(
      '{"driver":"raw","node-name":"system","discard":"unmap","file":{"driver":"file","filename":"/dev/fdset/4","discard":"unmap"}}',
    ),
  )
  assert.ok(!words.includes('pvpanic') && !words.includes('-drive'))
})

const EXPECTED = `-name
guest=cloister-abc,debug-threads=on
-nodefaults
-no-user-config
-display
none
-sandbox
on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
-S
-machine
q35,vmport=off,smm=on,sata=off,smbus=off,usb=off,graphics=off,hpet=off,i8042=off,mem-merge=off,dump-guest-core=off
-accel
tcg,thread=single
-cpu
EPYC-Rome
-smp
2
-m
1024M
-rtc
base=utc
-action
reboot=reset,panic=exit-failure
-chardev
socket,id=qmp,path=qmp.sock,server=on,wait=off,logfile=qmp.log,logappend=on
-mon
chardev=qmp,mode=control
-device
virtio-serial-pci,id=ports,max_ports=4,disable-legacy=on
-chardev
socket,id=stage,path=stage.sock,server=on,wait=off
-device
virtserialport,bus=ports.0,nr=1,chardev=stage,name=cloister.stage
-chardev
socket,id=agent,path=agent.sock,server=on,wait=off
-device
virtserialport,bus=ports.0,nr=2,chardev=agent,name=cloister.agent
-chardev
socket,id=net,path=net.sock,server=on,wait=off
-device
virtserialport,bus=ports.0,nr=3,chardev=net,name=cloister.net
-global
driver=cfi.pflash01,property=secure,value=on
-add-fd
fd=4,set=9
-drive
if=pflash,unit=0,format=raw,readonly=on,file=/dev/fdset/9
-add-fd
fd=5,set=10
-drive
if=pflash,unit=1,format=raw,auto-read-only=off,file=/dev/fdset/10
-add-fd
fd=6,set=4
-blockdev
{"driver":"qcow2","node-name":"system","discard":"unmap","backing":null,"file":{"driver":"file","filename":"/dev/fdset/4","discard":"unmap"}}
-device
virtio-blk-pci,drive=system,serial=cloister-system,werror=enospc,rerror=report,disable-legacy=on,bootindex=0
-add-fd
fd=7,set=5
-blockdev
driver=raw,node-name=seed,read-only=on,file.driver=file,file.filename=/dev/fdset/5
-device
virtio-blk-pci,drive=seed,serial=cloister-seed,werror=report,rerror=report,disable-legacy=on
-chardev
socket,id=vtpm,path=vtpm.sock
-tpmdev
emulator,id=tpm0,chardev=vtpm
-device
tpm-crb,tpmdev=tpm0
-chardev
socket,id=console,path=console.sock,server=on,wait=off
-device
isa-serial,chardev=console
-device
pvpanic
-netdev
user,id=net0,ipv6=off,hostfwd=tcp:127.0.0.1:2222-10.0.2.15:22
-device
virtio-net-pci,netdev=net0,romfile=,disable-legacy=on`
