/** The processor of a guest whose launch does not name one. */
import type { HostView } from '../probe/host-view.ts'
import { isAtLeast, type QemuCapabilities } from '../qemu-capabilities.ts'
import type { Accelerator, VmSpec } from '../vm-spec.ts'

interface Emulation {
  readonly accelerator: Accelerator
  readonly qemu: Pick<QemuCapabilities, 'version'> | undefined
}

/**
 * Whether this emulation harms kernels. Until QEMU 10 TCG spoils the flags of CMPXCHG16B, by which kernels of VMs panic within seconds. And vCPUs in
 * threads of their own may keep a translation of code that another was changing (pages are locked before translation only since QEMU 8.1): a kernel
 * that switches a static key, as at the first container's start, then panics by a breakpoint that is no longer there; on a busy host one guest in 15.
 */
function isRoughEmulation({ accelerator, qemu }: Emulation): boolean {
  return accelerator === 'tcg' && qemu !== undefined && !isAtLeast(qemu.version, 10, 0)
}

/** Whether all vCPUs of this guest have to share one thread of the emulation. */
export function isSingleThreaded({ cpus }: Pick<VmSpec, 'cpus'>, emulation: Emulation): boolean {
  return cpus > 1 && isRoughEmulation(emulation)
}

/** `max` crashes newer guest kernels under TCG of QEMU 7.2. */
export async function processorOf(
  { machine }: VmSpec,
  { accelerator, view }: { readonly accelerator: Accelerator; readonly view: HostView },
): Promise<string> {
  if (accelerator === 'kvm') return 'host'
  const isRough = isRoughEmulation({ accelerator, qemu: await view.qemu() })
  return machine !== undefined && isRough ? 'EPYC-Rome,-cx16' : 'EPYC-Rome'
}
