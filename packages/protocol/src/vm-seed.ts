/** What an image's cloud-init is told: given to hostd for a machine, or kept by the broker for a measured one, whose agent reads it. */
import { z } from 'zod'

/** User-data or network configuration of a seed, bytes. */
export const SEED_BYTES = 1 << 20

/** A NoCloud seed. Instance id and host name are those of the machine. */
export const VmSeedSchema = z.strictObject({
  /** User-data: cloud-config, a script or MIME; base64. */
  userData: z
    .base64()
    .max(2 * SEED_BYTES)
    .optional(),
  /** Lines of `authorized_keys` for the image's default user. */
  sshKeys: z
    .array(
      z
        .string()
        .max(16 << 10)
        // One line of text, for it becomes one line of a file in the guest.
        .regex(/^[\x20-\x7e]+$/),
    )
    .max(64)
    .default([]),
  /** Network configuration version 2, YAML; base64. */
  networkConfig: z
    .base64()
    .max(2 * SEED_BYTES)
    .optional(),
})
