/** Builds a guest image from the newest packages, or again from those of its lock, and puts it in place as a whole. */
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import type { Directories } from '@cloister/protocol/directories'
import { CloisterError } from '@cloister/protocol/error'
import type { GuestImageManifest } from '@cloister/protocol/guest-image-manifest'
import { GuestImageManifestSchema } from '@cloister/protocol/guest-image-manifest'

import type { BuildStep } from './assemble.ts'
import type { BuildContext } from './run.ts'
import { assemble } from './assemble.ts'
import { DEFAULT_IMAGE, loadGuestImage } from './images.ts'
import { copyInputs, fetchInputs, readLock, servesRecipe } from './inputs.ts'
import { errorCode, makeUnfinished, replaceDirectory } from './unfinished.ts'

export interface BuildOptions extends BuildContext {
  readonly directories: Pick<Directories, 'images'>
  /** Absent: `base`. */
  readonly name?: string
  /** Fetch the newest packages though the image has a lock. Absent: only without one. */
  readonly refresh?: boolean
  /** Program to bundle as the agent. Absent: the agent of this repository. */
  readonly agentEntry?: string
  readonly onProgress?: (step: BuildStep) => void
}

/**
 * Builds `images/<name>`. An image of that name stays as it is until the new one is complete; guests that run from it go on.
 *
 * @throws CloisterError `guest-image.*`; the reason of an aborted signal. Nothing is left behind then.
 */
export async function buildGuestImage(options: BuildOptions): Promise<GuestImageManifest> {
  const { directories, name = DEFAULT_IMAGE, refresh = false, onProgress } = options
  if (process.arch !== 'x64') throw new CloisterError('guest-image.architecture')
  if (!GuestImageManifestSchema.shape.name.safeParse(name).success)
    throw new CloisterError('guest-image.name-invalid', { received: name.slice(0, 80) })
  const target = join(directories.images, name)
  const made = await makeUnfinished(directories.images)
  const work = await mkdtemp(join(tmpdir(), 'cloister-image-'))
  try {
    // As root, apt fetches as the user _apt, who must be able to enter.
    await chmod(work, 0o755)
    onProgress?.('fetch')
    const found = refresh ? undefined : await readLock(target)
    // An image that an older recipe made may lack packages: then all are fetched anew.
    const kept = found !== undefined && servesRecipe(found) ? found : undefined
    if (kept !== undefined) await copyInputs(kept, target, made)
    const lock = kept ?? (await fetchInputs(made, work, options))
    const { agentEntry, signal, debugLog } = options
    const context = { agentEntry, signal, debugLog, onProgress }
    const replaced = await replacedManifest(target)
    const manifest = await assemble({ name, directory: made, work, lock, replaced, ...context })
    await replaceDirectory(made, target)
    return manifest
  } catch (error) {
    throw errorCode(error) === 'ENOSPC'
      ? new CloisterError('guest-image.no-space', { cause: error })
      : error
  } finally {
    await rm(work, { recursive: true, force: true })
    await rm(made, { recursive: true, force: true })
  }
}

/** The manifest of the image that is to be replaced; one that cannot be read has no version to rise above. */
async function replacedManifest(target: string): Promise<GuestImageManifest | undefined> {
  try {
    return (await loadGuestImage(target)).manifest
  } catch (error) {
    if (error instanceof CloisterError) return undefined
    throw error
  }
}
