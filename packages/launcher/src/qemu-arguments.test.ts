import assert from 'node:assert/strict'
import { test } from 'node:test'
import { qemuArguments, type GuestHardware, type TeeArguments } from './qemu-arguments.ts'

const HARDWARE: GuestHardware = {
  id: 'abc',
  accelerator: 'tcg',
  cpus: 2,
  memoryMiB: 1024,
  commandLine: 'cloister.mode=simulated a=b,c',
  ports: [],
  debugSerial: false,
  isSingleThreaded: false,
}
const TEE: TeeArguments = {
  board: 'q35',
  cpu: 'EPYC-Rome',
  machine: [],
  objects: () => [],
  firmware: 'none',
  hasTeePort: true,
}

test('qemuArguments() is the whole command line of a simulated guest', () => {
  const descriptors = { kernel: 3, initrd: 4, root: 5, initdata: 6, scratch: 7 }
  const ports = [{ host: 8080, guest: 80 }]
  assert.deepEqual(qemuArguments({ ...HARDWARE, ports }, descriptors, TEE).join('\n'), EXPECTED)
})

test('qemuArguments() gives a hardware guest its firmware and no port of the simulator', () => {
  const tee: TeeArguments = {
    ...TEE,
    cpu: 'EPYC-v4',
    machine: ['confidential-guest-support=snp0'],
    objects: () => ['sev-snp-guest,id=snp0'],
    firmware: 'bios',
    hasTeePort: false,
  }
  const words = qemuArguments(
    { ...HARDWARE, accelerator: 'kvm' },
    { kernel: 3, initrd: 4, firmware: 5 },
    tee,
  )
  assert.equal(words[words.indexOf('-bios') + 1], '/proc/self/fd/5')
  assert.equal(words[words.indexOf('-accel') + 1], 'kvm')
  assert.match(words[words.indexOf('-machine') + 1] ?? '', /,confidential-guest-support=snp0$/)
  assert.ok(words.includes('sev-snp-guest,id=snp0'))
  assert.ok(!words.join(' ').includes('cloister.tee'))
  assert.ok(!words.includes('-blockdev'))
})

test('qemuArguments() adds a serial port only for debugging, into a bounded ring', () => {
  const words = qemuArguments({ ...HARDWARE, debugSerial: true }, { kernel: 3, initrd: 4 }, TEE)
  assert.deepEqual(words.slice(-4), [
    '-chardev',
    'ringbuf,id=serial,size=65536',
    '-device',
    'isa-serial,chardev=serial',
  ])
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
q35,vmport=off,smm=off,sata=off,smbus=off,usb=off,graphics=off,hpet=off,i8042=off,mem-merge=off,dump-guest-core=off
-accel
tcg,thread=multi
-cpu
EPYC-Rome
-smp
2
-m
1024M
-rtc
base=utc
-action
reboot=shutdown,panic=exit-failure
-chardev
socket,id=qmp,path=qmp.sock,server=on,wait=off
-mon
chardev=qmp,mode=control
-kernel
/proc/self/fd/3
-initrd
/proc/self/fd/4
-append
cloister.mode=simulated a=b,c
-device
virtio-serial-pci,id=ports,max_ports=5,disable-legacy=on,iommu_platform=on
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
-chardev
socket,id=tee,path=tee.sock,server=on,wait=off
-device
virtserialport,bus=ports.0,nr=4,chardev=tee,name=cloister.tee
-add-fd
fd=5,set=1
-blockdev
driver=raw,node-name=root,read-only=on,file.driver=file,file.filename=/dev/fdset/1
-device
virtio-blk-pci,drive=root,serial=cloister-root,werror=report,rerror=report,disable-legacy=on,iommu_platform=on
-add-fd
fd=6,set=2
-blockdev
driver=raw,node-name=initdata,read-only=on,file.driver=file,file.filename=/dev/fdset/2
-device
virtio-blk-pci,drive=initdata,serial=cloister-initdata,werror=report,rerror=report,disable-legacy=on,iommu_platform=on
-add-fd
fd=7,set=3
-blockdev
driver=raw,node-name=scratch,discard=unmap,cache.no-flush=on,file.driver=file,file.filename=/dev/fdset/3
-device
virtio-blk-pci,drive=scratch,serial=cloister-scratch,werror=report,rerror=report,disable-legacy=on,iommu_platform=on
-netdev
user,id=net0,restrict=on,ipv6=off,hostfwd=tcp:127.0.0.1:8080-10.0.2.15:80
-device
virtio-net-pci,netdev=net0,romfile=,disable-legacy=on,iommu_platform=on`
