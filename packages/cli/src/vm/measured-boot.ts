/**
 * The owner's side of a measured boot: from a disk image to a boot bundle (a guest image whose kernel is the disk's), the initdata that goes
 * with it, and, with `--encrypt-disk`, a disk that only an attested guest opens.
 */
import { CloisterError } from '@cloister/protocol/error'
import type { Directories } from '@cloister/protocol/directories'
import type { DefineVmRequestInput, VmTee } from '@cloister/protocol/hostd-vm-api'

export interface MeasuredBootRequest {
  readonly name: string
  readonly tee: VmTee
  /** Absolute path of the disk image. */
  readonly imagePath: string
  readonly cpus: number
  readonly diskMiB: number | undefined
  readonly encryptDisk: boolean
  readonly directories: Directories
  readonly talk: (line: string) => void
  readonly signal: AbortSignal
}

/** What a measured boot changes in the definition of a VM. */
export interface MeasuredBoot extends AsyncDisposable {
  /** Disk to copy instead of the image: encrypted. Absent: the image itself. */
  readonly imagePath?: string
  readonly measured: NonNullable<DefineVmRequestInput['measured']>
  readonly targets: NonNullable<DefineVmRequestInput['targets']>
  /** Lines for the plan: what is registered and which secrets become releasable. */
  readonly plan: readonly string[]
  /** Registers everything at the broker; called after the plan was confirmed. */
  register(): Promise<void>
}

/** @throws CloisterError `vm.measured-boot-unavailable` */
export function prepareMeasuredBoot(request: MeasuredBootRequest): Promise<MeasuredBoot> {
  return Promise.reject(
    new CloisterError('vm.measured-boot-unavailable', {
      received: request.encryptDisk ? '--encrypt-disk' : `--tee ${request.tee}`,
    }),
  )
}
