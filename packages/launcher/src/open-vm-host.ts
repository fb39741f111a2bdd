/** Finds out what this host offers, once. */
import { join } from 'node:path'
import type { Directories } from '@cloister/protocol/directories'
import { chooseAccelerator, type AcceleratorRequest } from './accelerator.ts'
import { localHostView } from './probe/host-view.ts'
import { askQemu } from './qemu-capabilities.ts'
import { simulatorDirectory } from './simulator/directory.ts'
import type { SecureProcessor, VmHost } from './vm-host.ts'

/** File in which the accelerator of this host is remembered. */
export function acceleratorCacheFile(directories: Directories): string {
  return join(directories.cache, 'accelerator.json')
}

/** File in which the abilities of this host's QEMU are remembered. */
export function qemuCacheFile(directories: Directories): string {
  return join(directories.cache, 'qemu.json')
}

/**
 * @param probe - of any guest image; absent: KVM is used only if it was tried before
 * @throws CloisterError `qemu.missing`
 */
export async function openVmHost(
  directories: Directories,
  probe?: AcceleratorRequest['probe'],
): Promise<VmHost> {
  const cacheFile = qemuCacheFile(directories)
  const qemu = await askQemu(cacheFile)
  const { accelerator } = await chooseAccelerator({
    qemu,
    cacheFile: acceleratorCacheFile(directories),
    workDirectory: join(directories.runtime, 'probe'),
    ...(probe && { probe }),
  })
  let simulator: Promise<SecureProcessor> | undefined
  const openSimulator = () => {
    simulator ??= openProcessor(simulatorDirectory(directories)).catch((error: unknown) => {
      // The next VM tries again.
      simulator = undefined
      throw error
    })
    return simulator
  }
  return { qemu, accelerator, view: localHostView(cacheFile), openSimulator }
}

/** Loaded when needed: most of it is the verifier's. */
async function openProcessor(directory: string): Promise<SecureProcessor> {
  const { SimulatedProcessor } = await import('./simulator/processor.ts')
  return SimulatedProcessor.open(directory)
}
