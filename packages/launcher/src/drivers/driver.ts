/** The interface that each TEE's driver fills in; `table.ts` lists them. */
import type { TeeArguments } from '../qemu-arguments.ts'
import type { QemuCapabilities } from '../qemu-capabilities.ts'
import type { Accelerator, ProcessIdentity, TeeId, VmDirectories, VmSpec } from '../vm-spec.ts'

/** What a driver may use of the host beyond the VM's own description. */
export interface LaunchHost {
  readonly qemu: QemuCapabilities
  readonly accelerator: Accelerator
}

/** A VM whose QEMU stands still before its guest's first instruction, or ran on while hostd was away. */
export interface LaunchedVm extends VmDirectories {
  readonly id: string
  readonly process: ProcessIdentity
}

export interface TeeDriver {
  readonly id: TeeId
  /** Whether memory is encrypted by the hardware. */
  readonly isHardware: boolean
  /** Device files that QEMU opens, beyond `/dev/kvm`. */
  readonly devices: readonly string[]
  /**
   * This TEE's part of QEMU's command line.
   * @throws CloisterError `tee.unavailable`, `tee.firmware-missing`, `tee.firmware-unfit`, `qemu.too-old` when it cannot be launched
   */
  arguments(spec: VmSpec, host: LaunchHost): Promise<TeeArguments>
}
