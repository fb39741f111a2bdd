/** Virtual TPMs by swtpm: manufacture, start and end. */
import type { EkAuthority } from './ek-authority.ts'
import type { VtpmFiles } from '../vm-spec.ts'

export interface VtpmRequest extends VtpmFiles {
  /** Of the VM; it stands in the certificates. */
  readonly vmId: string
  readonly authority: EkAuthority
}

export interface ManufacturedVtpm {
  /** Certificates of the endorsement keys, DER, as they stand in the TPM's NVRAM. */
  readonly certificates: { readonly rsa: Uint8Array; readonly ecc: Uint8Array }
  /** Who can open the state: the host alone, which the key therefore does not keep out. It keeps out who steals the disk without it. */
  readonly keyHolder: 'host'
}

/**
 * Makes a TPM 2.0 with endorsement keys and their certificates; its state is encrypted with a new key.
 * Neither the folder nor the key's file may exist.
 *
 * @throws CloisterError `vtpm.missing`, `vtpm.manufacture-failed`, `vm.folder-denied`, `host.disk-full`; nothing is left then
 */
export async function manufactureVtpm(
  _request: VtpmRequest,
  _signal?: AbortSignal,
): Promise<ManufacturedVtpm> {
  throw new Error('follows')
}
