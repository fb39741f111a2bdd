/** QEMU's command line for what a machine of `cloister vm` has beyond a container's guest. */
import { MACHINE_DISKS } from '@cloister/protocol/guest-names'
import { DISK_ERRORS, socketChardev, SYSTEM_DISK_ERRORS, type Board } from '../board.ts'
import { SOCKETS } from '../vm-files.ts'

export interface MachineDevices {
  /** No TEE: the guest may be reset in place. */
  readonly isPlain: boolean
  readonly hasSecureBoot: boolean
  readonly systemFormat: 'raw' | 'qcow2'
  readonly hasVtpm: boolean
  readonly hasConsole: boolean
  /** Absent: a user-mode network. */
  readonly tap?: { readonly name: string; readonly mac: string }
}

/** Descriptors of the child; see `GuestDescriptors`. */
export interface MachineDescriptors {
  /** Firmware and its variables. Absent: the guest boots directly. */
  readonly code?: number
  readonly variables?: number
  readonly system?: number
  readonly seed?: number
}

/** fdsets; those below are taken, see `qemu-arguments.ts`. */
const SETS = { system: 4, seed: 5, code: 9, variables: 10 } as const

function fdset(name: keyof typeof SETS, descriptor: number): string[] {
  return ['-add-fd', `fd=${descriptor},set=${SETS[name]}`]
}

/** Only code in system management mode may write the flash when Secure Boot is on. */
export function flashArguments(
  { hasSecureBoot }: MachineDevices,
  { code, variables }: MachineDescriptors,
): string[] {
  if (code === undefined || variables === undefined) return []
  const flash = (unit: number, name: 'code' | 'variables', access: string) => [
    '-drive',
    `if=pflash,unit=${unit},format=raw,${access}file=/dev/fdset/${SETS[name]}`,
  ]
  return [
    ...(hasSecureBoot ? ['-global', 'driver=cfi.pflash01,property=secure,value=on'] : []),
    ...fdset('code', code),
    ...flash(0, 'code', 'readonly=on,'),
    ...fdset('variables', variables),
    // Else QEMU would want a second descriptor for the time in which nobody writes.
    ...flash(1, 'variables', 'auto-read-only=off,'),
  ]
}

export function machineDiskArguments(
  { systemFormat }: MachineDevices,
  { system, seed, code }: MachineDescriptors,
  board: Board,
): string[] {
  // What the firmware starts; without it the guest's initrd finds the disk by its serial.
  const boot = code === undefined ? '' : ',bootindex=0'
  return [
    ...(system === undefined ? [] : [...fdset('system', system), ...systemDisk(systemFormat)]),
    ...(system === undefined ? [] : diskDevice('system', board, boot)),
    ...(seed === undefined ? [] : [...fdset('seed', seed), ...SEED_DISK]),
    ...(seed === undefined ? [] : diskDevice('seed', board, '')),
  ]
}

/** As JSON, which alone can say that there is no backing file whatever the header claims. */
function systemDisk(format: 'raw' | 'qcow2'): string[] {
  const node = {
    driver: format,
    'node-name': 'system',
    discard: 'unmap',
    ...(format === 'qcow2' && { backing: null }),
    file: { driver: 'file', filename: `/dev/fdset/${SETS.system}`, discard: 'unmap' },
  }
  return ['-blockdev', JSON.stringify(node)]
}

const SEED_DISK = [
  '-blockdev',
  `driver=raw,node-name=seed,read-only=on,file.driver=file,file.filename=/dev/fdset/${SETS.seed}`,
]

function diskDevice(
  name: keyof typeof MACHINE_DISKS,
  { transport, virtio }: Board,
  more: string,
): string[] {
  const serial = MACHINE_DISKS[name]
  const errors = name === 'system' ? SYSTEM_DISK_ERRORS : DISK_ERRORS
  const device = `virtio-blk-${transport},drive=${name},serial=${serial},${errors},${virtio}`
  return ['-device', `${device}${more}`]
}

export function vtpmArguments(): string[] {
  return [
    '-chardev',
    `socket,id=vtpm,path=${SOCKETS.vtpm}`,
    '-tpmdev',
    'emulator,id=tpm0,chardev=vtpm',
    '-device',
    'tpm-crb,tpmdev=tpm0',
  ]
}

export function consoleArguments({ serial }: Board): string[] {
  return ['-chardev', socketChardev('console'), '-device', `${serial},chardev=console`]
}

export function tapArguments({ name, mac }: NonNullable<MachineDevices['tap']>, device: string) {
  const netdev = `tap,id=net0,ifname=${name},script=no,downscript=no`
  return ['-netdev', netdev, '-device', `${device},mac=${mac}`]
}
