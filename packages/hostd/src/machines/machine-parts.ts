/** What machines need of the launcher beyond starting: the files that outlive a run. Tests give another. */
import type { DiskImage, DiskSnapshot } from '@cloister/launcher/machine/disk-image'
import type { SecureBootChoice } from '@cloister/launcher/machine/secure-boot'
import type { Seed } from '@cloister/launcher/machine/seed'
import type { Vm, VtpmFiles } from '@cloister/launcher/vm-spec'

/** Each call throws what the launcher's function of that name throws. */
export interface MachineParts {
  inspectDisk(path: string): Promise<DiskImage>
  importDisk(
    source: string,
    target: string,
    options: { readonly sizeBytes?: number; readonly signal?: AbortSignal },
  ): Promise<DiskImage>
  resizeDisk(path: string, sizeBytes: number): Promise<void>
  listSnapshots(path: string): Promise<DiskSnapshot[]>
  createSnapshot(path: string, name: string): Promise<void>
  restoreSnapshot(path: string, name: string): Promise<void>
  deleteSnapshot(path: string, name: string): Promise<void>
  /** Absolute path of the firmware's code that fits variables made with the same choice. */
  firmwareCode(hasSecureBoot: boolean): Promise<string>
  writeVariables(choice: SecureBootChoice, path: string): Promise<void>
  manufactureVtpm(files: VtpmFiles, vmId: string, signal: AbortSignal): Promise<void>
  encodeSeed(seed: Seed): Promise<Uint8Array>
  /** The TCG event log as it lies in the guest's RAM. Absent: not found there. */
  findBootLog(vm: Vm, signal: AbortSignal): Promise<Uint8Array | undefined>
}
