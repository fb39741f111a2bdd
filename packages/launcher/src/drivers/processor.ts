/** The processor of a guest whose launch does not name one. */
import type { HostView } from '../probe/host-view.ts'
import { isAtLeast, type QemuCapabilities } from '../qemu-capabilities.ts'
import type { Accelerator, VmSpec } from '../vm-spec.ts'

/**
 * Whether this emulation harms kernels that are not ours. Until QEMU 10 TCG spoils the flags of CMPXCHG16B, and vCPUs in threads of their own may
 * run code that another is changing: kernels panic by either within seconds.
 */
export function isRoughEmulation({
  accelerator,
  qemu,
}: {
  readonly accelerator: Accelerator
  readonly qemu: Pick<QemuCapabilities, 'version'> | undefined
}): boolean {
  return accelerator === 'tcg' && qemu !== undefined && !isAtLeast(qemu.version, 10, 0)
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
