/**
 * QEMU's command line for one guest: q35 without defaults, sandboxed and stopped (`-S`), with exactly the devices that
 * dev-docs/architecture.md names. Paths never stand in it: sockets are relative to the working directory, files are descriptors that the
 * child inherits, so QEMU needs no right on any directory and no name can carry an option.
 */
import { GUEST_DISKS, GUEST_PORTS } from '@cloister/protocol/guest-names'
import { BOARDS, DISK_ERRORS, socketChardev, type Board, type BoardName } from './board.ts'
import {
  consoleArguments,
  flashArguments,
  machineDiskArguments,
  tapArguments,
  vtpmArguments,
  type MachineDescriptors,
  type MachineDevices,
} from './machine/devices.ts'
import { CONTROL_LOG } from './vm-files.ts'
import type { Accelerator, PublishedPort } from './vm-spec.ts'

/** A file that QEMU gets as an open descriptor. */
export interface InheritedFile {
  readonly path: string
  readonly writable: boolean
  /** Whether QEMU opens it again by {@link descriptorPath}: then its mode must allow that, though not its folder's. */
  readonly isReopened: boolean
}

/** What a TEE driver adds to the command line. */
export interface TeeArguments {
  readonly board: BoardName
  readonly cpu: string
  /** Options of `-machine`, beyond the shared ones. */
  readonly machine: readonly string[]
  /** Values of `-object`. */
  objects(descriptors: GuestDescriptors): readonly string[]
  /** How the guest gets the confidential firmware of its image; `none` boots by QEMU's own. */
  readonly firmware: 'none' | 'bios' | 'pflash'
  /** Whether the guest gets the port `cloister.tee`. */
  readonly hasTeePort: boolean
  /** Boots the unified kernel, in which initrd and command line stand; absent: the three apart. */
  readonly isUnified?: true
}

export interface GuestHardware {
  readonly id: string
  readonly accelerator: Accelerator
  /** All vCPUs in one thread of the emulation. */
  readonly isSingleThreaded: boolean
  readonly cpus: number
  readonly memoryMiB: number
  readonly commandLine: string
  readonly ports: readonly PublishedPort[]
  readonly debugSerial: boolean
  /** Absent: a container's guest. */
  readonly machine?: MachineDevices
}

/** Descriptors of the child: 0 to 2 are standard, these follow. Absent: the guest has no such disk. */
export interface GuestDescriptors extends MachineDescriptors {
  /** Absent: the guest boots by firmware. */
  readonly kernel?: number
  readonly initrd?: number
  /** Only for a TEE whose guest gets it. */
  readonly firmware?: number
  /** The owner's session with SEV firmware. */
  readonly sevCertificate?: number
  readonly sevSession?: number
  readonly root?: number
  readonly initdata?: number
  readonly scratch?: number
}

const SANDBOX = 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'

/** 64 KiB of firmware and kernel messages, overwritten from the oldest. */
const SERIAL_BYTES = 64 << 10

/** The path by which QEMU opens an inherited descriptor again, with a file offset of its own. */
function descriptorPath(descriptor: number): string {
  return `/proc/self/fd/${descriptor}`
}

export function qemuArguments(
  hardware: GuestHardware,
  descriptors: GuestDescriptors,
  tee: TeeArguments,
): string[] {
  const { machine } = hardware
  const board = boardOf(tee.board, machine)
  const threads = hardware.isSingleThreaded ? 'single' : 'multi'
  const restart = machine?.isPlain === true ? 'reset' : 'shutdown'
  return [
    ['-name', `guest=cloister-${hardware.id},debug-threads=on`],
    ['-nodefaults', '-no-user-config', '-display', 'none', '-sandbox', SANDBOX, '-S'],
    ['-machine', [board.machine, ...tee.machine].join(',')],
    ['-accel', hardware.accelerator === 'kvm' ? 'kvm' : `tcg,thread=${threads}`],
    ['-cpu', tee.cpu, '-smp', String(hardware.cpus), '-m', `${hardware.memoryMiB}M`],
    ['-rtc', 'base=utc', '-action', `reboot=${restart},panic=exit-failure`],
    ['-chardev', controlChardev(machine !== undefined), '-mon', 'chardev=qmp,mode=control'],
    tee.objects(descriptors).flatMap((object) => ['-object', object]),
    firmwareArguments(descriptors, tee),
    kernelArguments(hardware, descriptors),
    portArguments(tee.hasTeePort, board),
    diskArguments(descriptors, board),
    machine === undefined ? [] : machineArguments(machine, descriptors, board),
    networkArguments(hardware, board),
    hardware.debugSerial ? serialArguments(board) : [],
  ].flat()
}

/** A machine's end is to be known also to a hostd that comes later; a container's guest is started by one that waits. */
function controlChardev(isMachine: boolean): string {
  const socket = socketChardev('qmp')
  return isMachine ? `${socket},logfile=${CONTROL_LOG},logappend=on` : socket
}

/** System management mode keeps the variables of Secure Boot from the guest; a plain guest has no pages to share. */
function boardOf(name: BoardName, machine: MachineDevices | undefined): Board {
  const board = BOARDS[name]
  if (machine === undefined) return board
  return {
    ...board,
    ...(machine.hasSecureBoot && { machine: board.machine.replace(',smm=off,', ',smm=on,') }),
    ...(machine.isPlain && { virtio: PLAIN_VIRTIO }),
  }
}

/** virtio 1.0. */
const PLAIN_VIRTIO = 'disable-legacy=on'

function machineArguments(
  machine: MachineDevices,
  descriptors: GuestDescriptors,
  board: Board,
): string[] {
  return [
    flashArguments(machine, descriptors),
    machineDiskArguments(machine, descriptors, board),
    machine.hasVtpm ? vtpmArguments() : [],
    machine.hasConsole ? consoleArguments(board) : [],
    // The guest's kernel tells of its panic by this device.
    machine.isPlain ? ['-device', 'pvpanic'] : [],
  ].flat()
}

/** fdset of the firmware; disks take 1 to 3. */
const FIRMWARE_SET = 9

function firmwareArguments({ firmware }: GuestDescriptors, tee: TeeArguments): string[] {
  if (firmware === undefined) return []
  // Under SNP and TDX pages of pflash cannot be private; older QEMU encrypts for SEV only pflash.
  if (tee.firmware === 'bios') return ['-bios', descriptorPath(firmware)]
  const drive = `if=pflash,unit=0,format=raw,readonly=on,file=/dev/fdset/${FIRMWARE_SET}`
  return ['-add-fd', `fd=${firmware},set=${FIRMWARE_SET}`, '-drive', drive]
}

function kernelArguments(
  { commandLine }: GuestHardware,
  { kernel, initrd }: GuestDescriptors,
): string[] {
  if (kernel === undefined) return []
  // A unified kernel: a command line from here would take the place of its own.
  if (initrd === undefined) return ['-kernel', descriptorPath(kernel)]
  const files = ['-kernel', descriptorPath(kernel), '-initrd', descriptorPath(initrd)]
  return [...files, '-append', commandLine]
}

function portArguments(hasTeePort: boolean, { transport, virtio }: Board): string[] {
  const names = ['stage', 'agent', 'net', ...(hasTeePort ? (['tee'] as const) : [])] as const
  const ports = names.flatMap((name, index) => [
    '-chardev',
    socketChardev(name),
    '-device',
    `virtserialport,bus=ports.0,nr=${index + 1},chardev=${name},name=${GUEST_PORTS[name]}`,
  ])
  const controller = `virtio-serial-${transport},id=ports,max_ports=${names.length + 1},${virtio}`
  return ['-device', controller, ...ports]
}

/** The scratch space is worthless after the VM: its flushes need not reach the disk, and freed blocks go back at once. */
const DISK_OPTIONS = {
  root: 'read-only=on',
  initdata: 'read-only=on',
  scratch: 'discard=unmap,cache.no-flush=on',
} as const

function diskArguments(descriptors: GuestDescriptors, { transport, virtio }: Board): string[] {
  return (['root', 'initdata', 'scratch'] as const).flatMap((name, index) => {
    const descriptor = descriptors[name]
    if (descriptor === undefined) return []
    const set = index + 1
    const file = `file.driver=file,file.filename=/dev/fdset/${set}`
    return [
      '-add-fd',
      `fd=${descriptor},set=${set}`,
      '-blockdev',
      `driver=raw,node-name=${name},${DISK_OPTIONS[name]},${file}`,
      '-device',
      `virtio-blk-${transport},drive=${name},serial=${GUEST_DISKS[name]},${DISK_ERRORS},${virtio}`,
    ]
  })
}

const GUEST_ADDRESS = '10.0.2.15'

function networkArguments(
  { ports, machine }: GuestHardware,
  { transport, virtio }: Board,
): string[] {
  // Only PCI devices have an option ROM to leave out.
  const rom = transport === 'pci' ? 'romfile=,' : ''
  const device = `virtio-net-${transport},netdev=net0,${rom}${virtio}`
  if (machine?.tap !== undefined) return tapArguments(machine.tap, device)
  const forwards = ports.map(
    ({ hostAddress = '127.0.0.1', host, guest }) =>
      `,hostfwd=tcp:${hostAddress}:${host}-${GUEST_ADDRESS}:${guest}`,
  )
  // A container's guest has its own ways out; a machine's owner wants the network.
  const reach = machine === undefined ? 'restrict=on,' : ''
  const user = `user,id=net0,${reach}ipv6=off${forwards.join('')}`
  return ['-netdev', user, '-device', device]
}

/** `ringbuf` is bounded and outlives its reader; a file would grow without end. */
function serialArguments({ serial }: Board): string[] {
  const ring = `ringbuf,id=serial,size=${SERIAL_BYTES}`
  return ['-chardev', ring, '-device', `${serial},chardev=serial`]
}
