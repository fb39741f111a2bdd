/** The interface that each TEE's driver fills in; `table.ts` lists them. */
import type { HostView } from '../probe/host-view.ts'
import type { ProbeLeaf } from '../probe/probe-node.ts'
import type { QmpClient } from '../qmp.ts'
import type { TeeArguments } from '../qemu-arguments.ts'
import type { TeeId, VmSpec } from '../vm-spec.ts'
import type { VmHost } from '../vm-host.ts'

/** Reference Values of one launch: the name of a field of the Evidence, and its bytes as hex. */
export type LaunchPrediction = Readonly<Record<string, string>>

export interface TeeDriver {
  readonly id: TeeId | 'none'
  readonly title: string
  /** Whether memory is encrypted by the hardware. */
  readonly isHardware: boolean
  /** Device files that QEMU opens, beyond `/dev/kvm`. */
  readonly devices: readonly string[]
  /** Whether the host's kernel pins the guest's memory, so that QEMU needs the right to lock as much. */
  readonly pinsMemory: boolean
  /**
   * Whether this host can launch it, and if not, what is missing and how to mend it.
   * @param imageDirectory - of the guest image whose firmware is looked at; absent: firmware is not
   */
  probe(view: HostView, imageDirectory?: string): Promise<ProbeLeaf[]>
  /**
   * This TEE's part of QEMU's command line.
   * @throws CloisterError `tee.unavailable`, `tee.firmware-missing`, `tee.firmware-unfit`, `vm.spec-invalid`
   */
  arguments(spec: VmSpec, host: Pick<VmHost, 'accelerator' | 'view'>): Promise<TeeArguments>
  /**
   * Looks, while the guest stands still, whether QEMU launched what was asked for. Absent: QEMU cannot tell, or there is nothing to ask.
   * @throws CloisterError `tee.launch-refused`, `qemu.*`
   */
  launched?(qmp: QmpClient, spec: VmSpec): Promise<void>
  /** What to expect in Evidence of a guest that is launched from this. @throws CloisterError as {@link TeeDriver.arguments} */
  predict(spec: VmSpec): Promise<LaunchPrediction>
}
