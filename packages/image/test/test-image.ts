/** The image of the tests: the real build with {@link file://./guest-probe.ts} in the agent's place, made once per state of the sources. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { directories } from '@cloister/protocol/directories'

import { buildGuestImage } from '../src/build.ts'
import type { GuestImage } from '../src/images.ts'
import { DEFAULT_IMAGE, loadGuestImage } from '../src/images.ts'
import { copyInputs, readLock } from '../src/inputs.ts'
import { isMadeBySources } from '../src/sources.ts'

export const PROBE_AGENT = fileURLToPath(new URL('./guest-probe.ts', import.meta.url))

const IMAGES = join(directories().cache, 'test-images')

/** Packages that were fetched for it before, or for the default image, are used again; else they are fetched. */
export async function testImage(name: string): Promise<GuestImage> {
  const target = join(IMAGES, name)
  const found = await loadGuestImage(target).catch(() => undefined)
  if (found !== undefined && isMadeBySources(found.manifest)) return found
  const base = join(directories().images, DEFAULT_IMAGE)
  const lock = await readLock(base).catch(() => undefined)
  if (found === undefined && lock !== undefined) {
    await mkdir(target, { recursive: true })
    await copyInputs(lock, base, target)
  }
  await buildGuestImage({ directories: { images: IMAGES }, name, agentEntry: PROBE_AGENT })
  return loadGuestImage(target)
}
