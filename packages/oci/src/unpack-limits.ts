/** Bounds on what an image may make of the scratch space. They hold for all layers of an image together. */
import { CloisterError } from '@cloister/protocol/error'

export interface UnpackLimits {
  /** Uncompressed tar bytes of all layers. */
  readonly bytes: number
  /** Entries of all layers; each may cost an inode. */
  readonly entries: number
  /** One path, bytes (Linux: PATH_MAX). */
  readonly pathBytes: number
  /** One name in a path, bytes (Linux: NAME_MAX). */
  readonly nameBytes: number
  /** Directories above an entry. */
  readonly depth: number
  /** Target of a link, bytes. */
  readonly linkBytes: number
  /** Extended attributes of one entry. */
  readonly xattrs: number
  /** Names, values and paths of one layer's extended attributes, bytes. */
  readonly xattrBytes: number
  /** Uncompressed bytes for each compressed byte of a layer, once past `ratioFreeBytes`. Deflate cannot exceed 1032; code and text stay under 20. */
  readonly ratio: number
  readonly ratioFreeBytes: number
}

export const UNPACK_LIMITS: UnpackLimits = {
  bytes: 16 * 2 ** 30,
  entries: 500_000,
  pathBytes: 4096,
  nameBytes: 255,
  depth: 256,
  linkBytes: 4095,
  xattrs: 64,
  xattrBytes: 16 << 20,
  ratio: 400,
  ratioFreeBytes: 64 << 20,
}

/** Throws `image.limit-exceeded` when `value` is over `limit`. */
export function enforceLimit(what: string, value: number, limit: number): void {
  if (value > limit)
    throw new CloisterError('image.limit-exceeded', {
      where: what,
      expected: `at most ${limit}`,
      received: String(value),
    })
}

/** What the layers of one image have used so far. */
export interface UnpackUsage {
  bytes: number
  entries: number
  /** Extended attributes that were asked for and not set; see LayerXattrs. */
  skippedXattrs: number
}
