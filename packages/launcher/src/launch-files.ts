/** The files that a guest's QEMU inherits as descriptors, in the order of its descriptors. */
import { join } from 'node:path'
import { isFirmwareBoot, unifiedKernel } from './boot-files.ts'
import type { GuestDescriptors, InheritedFile, TeeArguments } from './qemu-arguments.ts'
import { STATE_FILES } from './vm-files.ts'
import type { VmSpec } from './vm-spec.ts'

export interface LaunchFile extends InheritedFile {
  /** Absent: QEMU is told of it later. */
  readonly name?: keyof GuestDescriptors
}

export function launchFiles(spec: VmSpec, tee: TeeArguments): LaunchFile[] {
  const state = (name: keyof typeof STATE_FILES) => join(spec.stateDirectory, STATE_FILES[name])
  const files: LaunchFile[] = []
  const add = (name: keyof GuestDescriptors, path: string, kind: keyof typeof KINDS = 'disk') =>
    files.push({ name, path, ...KINDS[kind] })
  const { boot, machine, sevSession } = spec
  // First, so that its number is known: see `memory-dump.ts`.
  if (machine !== undefined) files.push({ path: state('memory'), ...KINDS.writable })
  if (isFirmwareBoot(boot)) {
    add('code', boot.code)
    add('variables', boot.variables, 'writable')
  } else {
    if (tee.isUnified === true) add('kernel', unifiedKernel(spec), 'reopened')
    else {
      add('kernel', boot.kernel, 'reopened')
      add('initrd', boot.initrd, 'reopened')
    }
    if (tee.firmware !== 'none' && boot.firmware !== undefined)
      add('firmware', boot.firmware, 'reopened')
  }
  if (sevSession !== undefined) {
    add('sevCertificate', state('sevCertificate'), 'reopened')
    add('sevSession', state('sevSession'), 'reopened')
  }
  if (!isFirmwareBoot(boot) && boot.root !== undefined) add('root', boot.root)
  if (spec.initdataDisk !== undefined) add('initdata', state('initdata'))
  if (spec.scratchMiB > 0) add('scratch', state('scratch'), 'writable')
  if (machine !== undefined) {
    add('system', machine.systemDisk.path, 'writable')
    if (machine.seedDisk !== undefined) add('seed', machine.seedDisk.path)
  }
  return files
}

const KINDS = {
  disk: { writable: false, isReopened: false },
  writable: { writable: true, isReopened: false },
  reopened: { writable: false, isReopened: true },
} as const
