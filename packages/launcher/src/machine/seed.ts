/** The NoCloud seed: a small disk, labelled CIDATA, from which cloud-init takes a new VM's host name, users and keys. */

export interface Seed {
  /** cloud-init does first-boot work once for each. */
  readonly instanceId: string
  readonly hostname: string
  /** User-data, as `--cloud-init FILE` gives it: `#cloud-config`, a script, or MIME. Absent: only what stands here. */
  readonly userData?: Uint8Array
  /** Lines of `authorized_keys` for the image's default user. */
  readonly sshKeys: readonly string[]
  /** Network configuration version 2, YAML. Absent: the image's own (DHCP). */
  readonly networkConfig?: Uint8Array
}

/**
 * The same bytes for the same seed: a FAT image with `meta-data`, `user-data` and, if given, `network-config`.
 * @throws CloisterError `seed.invalid`, `seed.too-large`
 */
export function encodeSeed(_seed: Seed): Uint8Array {
  throw new Error('follows')
}
