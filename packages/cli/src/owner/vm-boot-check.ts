/** What the trust in a VM rests on beside its evidence: the boot bundle that is its own, and whether its disk is protected. */
import { bundleName } from '@cloister/image/boot-bundle/bundle-name'
import { CloisterError } from '@cloister/protocol/error'
import type { GuestImageManifest } from '@cloister/protocol/guest-image-manifest'
import { parseAnyWorkload, parseInitdata } from '@cloister/protocol/initdata'
import { isVmWorkload, type VmWorkload } from '@cloister/protocol/vm-workload'
import type { TrustCheck } from './trust-check.ts'

/** The VM that an initdata document describes; undefined for that of a container, and for what cannot be read. */
export function vmIn(document: Uint8Array): VmWorkload | undefined {
  try {
    const workload = parseAnyWorkload(parseInitdata(document))
    return isVmWorkload(workload) ? workload : undefined
  } catch (error) {
    if (error instanceof CloisterError) return undefined
    throw error
  }
}

/** A VM is measured with its own bundle and no other's: another kernel may be one that its owner never chose. */
export function imagesFor(
  vm: VmWorkload | undefined,
  manifests: readonly GuestImageManifest[],
): readonly GuestImageManifest[] {
  return vm === undefined ? manifests : manifests.filter(({ name }) => name === bundleName(vm.name))
}

/** @returns a warning for a disk that the host can read and change; absent for a container */
export function diskCheck(vm: VmWorkload | undefined): TrustCheck | undefined {
  if (vm === undefined) return undefined
  const isSealed = vm.vm.disk.kind === 'sealed'
  return {
    code: 'vm.disk-encrypted',
    outcome: isSealed ? 'pass' : 'warning',
    expected: 'a disk that only the attested guest opens',
    received: isSealed
      ? 'LUKS2 with integrity, its header authenticated'
      : 'a disk in clear, which the host can read and change',
  }
}

/** @returns a warning for a VM whose owner left something open by name; absent for the others, and for a container */
export function openingCheck(vm: VmWorkload | undefined): TrustCheck | undefined {
  const allowed = vm?.vm.allowed
  if (allowed === undefined) return undefined
  return {
    code: 'vm.left-open',
    outcome: 'warning',
    expected: 'nothing that the host could use',
    received: allowed.join(', '),
  }
}
