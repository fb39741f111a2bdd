/** Builds an image again from the inputs kept beside it and compares what comes out. */
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

import { CloisterError } from '@cloister/protocol/error'
import type { GuestImageManifest } from '@cloister/protocol/guest-image-manifest'

import type { BuildStep } from './assemble.ts'
import type { BuildContext } from './run.ts'
import { assemble } from './assemble.ts'
import { checkGuestImage, loadGuestImage } from './images.ts'
import { LOCK_FILE, copyInputs, readLock } from './inputs.ts'

export interface VerifyOptions extends BuildContext {
  /** As at the build. Absent: the agent of this repository. */
  readonly agentEntry?: string
  readonly onProgress?: (step: BuildStep) => void
}

export interface Difference {
  /** Member of the manifest, such as `root.verity.rootHash`. */
  readonly member: string
  /** What the manifest says; absent: it has no such member. */
  readonly recorded?: string
  /** What the rebuild gave; absent: it has no such member. */
  readonly rebuilt?: string
}

export interface GuestImageVerification {
  readonly reproduced: boolean
  /** Empty exactly when the image was reproduced; in the order of the manifest. */
  readonly differences: readonly Difference[]
  readonly manifest: GuestImageManifest
}

/**
 * Rebuilds in a temporary directory, without the network. The files beside the manifest must be those it names, for an image that
 * was changed after the build is no question of reproduction.
 *
 * @param manifestPath - `manifest.json` of an image directory with `inputs.lock` and `packages/`
 * @throws CloisterError `guest-image.not-found`, `guest-image.manifest-invalid`, `guest-image.corrupt`, `guest-image.input-missing`,
 *   `guest-image.input-changed`, and as the build
 */
export async function verifyGuestImage(
  manifestPath: string,
  options: VerifyOptions = {},
): Promise<GuestImageVerification> {
  const directory = dirname(manifestPath)
  const image = await loadGuestImage(directory)
  await checkGuestImage(image)
  const lock = await readLock(directory)
  if (lock === undefined)
    throw new CloisterError('guest-image.input-missing', { where: join(directory, LOCK_FILE) })
  const work = await mkdtemp(join(tmpdir(), 'cloister-image-'))
  const made = await mkdtemp(join(tmpdir(), 'cloister-image-'))
  try {
    await chmod(work, 0o755)
    await copyInputs(lock, directory, made)
    const name = image.manifest.name
    const replaced = image.manifest
    const rebuilt = await assemble({ ...options, name, directory: made, work, lock, replaced })
    const differences = compare(image.manifest, rebuilt)
    return { reproduced: differences.length === 0, differences, manifest: image.manifest }
  } finally {
    await rm(work, { recursive: true, force: true })
    await rm(made, { recursive: true, force: true })
  }
}

/** The members that differ, by their paths. */
export function compare(recorded: unknown, rebuilt: unknown): Difference[] {
  const before = new Map(leaves(recorded))
  const after = new Map(leaves(rebuilt))
  return [...new Set([...before.keys(), ...after.keys()])]
    .map((member) => ({ member, recorded: before.get(member), rebuilt: after.get(member) }))
    .filter(({ recorded, rebuilt }) => recorded !== rebuilt)
    .map(({ member, recorded, rebuilt }) => ({
      member,
      ...(recorded !== undefined && { recorded }),
      ...(rebuilt !== undefined && { rebuilt }),
    }))
}

function* leaves(value: unknown, path = ''): Generator<[string, string]> {
  if (typeof value !== 'object' || value === null) yield [path, String(value)]
  else
    for (const [key, member] of Object.entries(value))
      yield* leaves(member, path === '' ? key : `${path}.${key}`)
}
