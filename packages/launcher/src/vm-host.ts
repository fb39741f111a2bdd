/** What one host offers to all its VMs. hostd makes it once. */
import type { HostView } from './probe/host-view.ts'
import type { QemuCapabilities } from './qemu-capabilities.ts'
import type { Accelerator, VmSpec, VmState } from './vm-spec.ts'

export interface VmHost {
  readonly qemu: QemuCapabilities
  /** As `chooseAccelerator` found. */
  readonly accelerator: Accelerator
  /** What drivers look at before they launch. */
  readonly view: HostView
  /** Opens the simulated secure processor; called when a simulated VM needs it. */
  openSimulator(): Promise<SecureProcessor>
}

/** Plays the secure processor for guests. What it returns serves one guest until disposed of. */
export interface SecureProcessor {
  /** Launches a guest whose QEMU stands still. */
  launch(state: VmState, spec: VmSpec): Promise<AsyncDisposable>
  /** Serves a guest again that was launched before a restart of hostd. */
  resume(state: VmState): Promise<AsyncDisposable>
}
