/** The guest image that runs use: reused when this repository's sources made it, else built. */
import type { BuildStep } from '@cloister/image/assemble'
import type { GuestImage } from '@cloister/image/images'
import type { Directories } from '@cloister/protocol/directories'
import { CloisterError } from '@cloister/protocol/error'

export interface EnsureImageOptions {
  readonly directories: Directories
  readonly talk: (line: string) => void
  readonly signal: AbortSignal
}

export interface EnsuredImage {
  readonly image: GuestImage
  readonly reused: boolean
  readonly seconds: number
}

const STEP_WORDS: Readonly<Record<BuildStep, string>> = {
  fetch: 'fetching packages',
  unpack: 'unpacking packages',
  agent: 'bundling the agent',
  initrd: 'packing the initrd',
  root: 'packing the root file system and its hash tree',
  measure: 'predicting launch digests',
}

/** @throws CloisterError `guest-image.*` */
export async function ensureGuestImage({
  directories,
  talk,
  signal,
}: EnsureImageOptions): Promise<EnsuredImage> {
  const { DEFAULT_IMAGE } = await import('@cloister/image/images')
  const start = performance.now()
  const found = await loadIfPresent(directories)
  const { isMadeBySources } = await import('@cloister/image/sources')
  if (found !== undefined && isMadeBySources(found.manifest)) {
    const { checkGuestImageOnce } = await import('@cloister/image/checked-image')
    await checkGuestImageOnce(found)
    return { image: found, reused: true, seconds: (performance.now() - start) / 1000 }
  }
  const { buildGuestImage } = await import('@cloister/image/build')
  await buildGuestImage({
    directories,
    name: DEFAULT_IMAGE,
    signal,
    onProgress: (step) => {
      talk(`        ${STEP_WORDS[step]}`)
    },
  })
  const image = await loadIfPresent(directories)
  if (image === undefined)
    throw new CloisterError('guest-image.not-found', { where: directories.images })
  return { image, reused: false, seconds: (performance.now() - start) / 1000 }
}

async function loadIfPresent({ images }: Directories): Promise<GuestImage | undefined> {
  const { DEFAULT_IMAGE, loadGuestImage } = await import('@cloister/image/images')
  try {
    return await loadGuestImage(`${images}/${DEFAULT_IMAGE}`)
  } catch (error) {
    // What is missing or damaged is built anew.
    if (
      error instanceof CloisterError &&
      /^guest-image\.(?:not-found|manifest-invalid)$/.test(error.code)
    )
      return undefined
    throw error
  }
}
