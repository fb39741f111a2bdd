/**
 * Where the broker keeps what belongs to one VM. Under the type `disk-key` it releases nothing to guests that only a TPM vouches for,
 * whatever a policy says.
 */
import { bundleName } from '@cloister/image/boot-bundle/bundle-name'

export interface VmResources {
  /** From this every key of its disk is derived. */
  readonly key: string
  /** There while the disk is to get another key. */
  readonly nextKey: string
  /** There while the disk is to get a recovery key. */
  readonly recoveryKey: string
  /** What cloud-init is told. */
  readonly seed: string
}

export function vmResources(vm: string): VmResources {
  const repository = bundleName(vm)
  return {
    key: `${repository}/disk-key/current`,
    nextKey: `${repository}/disk-key/next`,
    recoveryKey: `${repository}/disk-key/recovery`,
    seed: `${repository}/cloud-init/seed`,
  }
}
