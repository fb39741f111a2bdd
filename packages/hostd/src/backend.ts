/** What hostd needs of the packages below it, so that tests can give it a guest without a machine. */
import type { Vm, VmExit, VmSpec, VmState } from '@cloister/launcher/vm-spec'
import type { GuestImage } from '@cloister/image/images'
import type { StageDeadlines } from './boot-watch.ts'
import type { MachineParts } from './machines/machine-parts.ts'

/** Each VM has a folder of its id in both. */
export interface VmFolders {
  /** For sockets, on a short path. */
  readonly runtime: string
  /** For disks and launch contexts. */
  readonly state: string
}

export interface Backend {
  /**
   * @param image - that `spec` boots; absent: its disk boots by itself
   * @throws CloisterError `vm.*`, `tee.*`, `qemu.*`, `host.*`, `simulator.*`
   */
  startVm(spec: VmSpec, image: GuestImage | undefined): Promise<Vm>
  /** @returns the VM; absent when it is gone */
  adoptVm(state: VmState): Promise<Vm | undefined>
  /** How a machine ended that nobody watched; asked before {@link Backend.adoptVm}, which clears what is left of it. Absent: nothing tells. */
  howVmEnded(state: VmState): Promise<Pick<VmExit, 'reason' | 'at'> | undefined>
  /** Kills a VM that cannot be adopted, and clears what it leaves. */
  discardVm(state: VmState): Promise<void>
  /** Kills and clears every VM in the folders but those to keep. @returns the ids that were cleared */
  clearLeftovers(folders: VmFolders, keep: ReadonlySet<string>): Promise<readonly string[]>
  /** @throws CloisterError `guest-image.*` */
  loadGuestImage(name: string): Promise<GuestImage>
  /** @throws CloisterError `host.port-taken` */
  checkPorts(ports: VmSpec['ports']): Promise<void>
  /** Identifies this boot of the host. */
  hostBootId(): Promise<string>
  readonly deadlines: StageDeadlines
  readonly machines: MachineParts
}
