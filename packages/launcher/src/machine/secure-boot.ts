/**
 * The UEFI variables of a new VM: Microsoft's Secure Boot keys as the distribution ships them, or the owner's own.
 */
import type { MachineFirmware } from './firmware.ts'

/** Certificates in DER. What `db` signed boots, unless `dbx` names it. */
export interface SecureBootKeys {
  /** Platform key: who may change the others. */
  readonly pk: Uint8Array
  readonly kek: readonly Uint8Array[]
  readonly db: readonly Uint8Array[]
  /** Certificates that are refused. */
  readonly dbx: readonly Uint8Array[]
  /** SHA-256 Authenticode digests (32 bytes each) of images that are refused, beyond Microsoft's list. */
  readonly dbxDigests?: readonly Uint8Array[]
}

/** `none`: no keys, so nothing is enforced, for firmware without Secure Boot. */
export type SecureBootChoice = 'none' | 'microsoft' | SecureBootKeys

/**
 * Writes a VM's variable store, which must not exist yet.
 *
 * @param path - absolute; made with mode 0600
 * @throws CloisterError `secure-boot.keys-invalid`, `secure-boot.template-unfit`, `firmware.missing`, `host.disk-full`, `vm.*`
 */
export async function writeVariables(
  _firmware: MachineFirmware,
  _choice: SecureBootChoice,
  _path: string,
): Promise<void> {
  throw new Error('follows')
}
