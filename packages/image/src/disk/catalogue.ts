/** Disk images that Cloister builds by itself, from the packages of Debian alone, for machines whose owner brings none. */
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import type { Directories } from '@cloister/protocol/directories'
import { CloisterError } from '@cloister/protocol/error'
import { z } from 'zod'

import type { BuildContext } from '../run.ts'
import type { DiskStep } from './build-disk.ts'
import { describeFile } from '../files.ts'
import { copyInputs, readLock } from '../inputs.ts'
import { errorCode, makeUnfinished, replaceDirectory } from '../unfinished.ts'
import { buildDisk } from './build-disk.ts'
import { DEFAULT_USER, RECIPE_REVISION } from './debian-12.ts'
import { fetchDiskInputs } from './fetch.ts'

export const CATALOGUE_IMAGES = ['debian-12'] as const
export type CatalogueName = (typeof CATALOGUE_IMAGES)[number]

/** Below `directories().images`; guest images have manifests of another kind and stand beside it. */
const DISKS_DIRECTORY = 'disks'
const MANIFEST_FILE = 'disk.json'
const DISK_FILE = 'disk.raw'

const DigestSchema = z.string().regex(/^[0-9a-f]{64}$/)
const DiskManifestSchema = z.strictObject({
  version: z.literal(1),
  name: z.string(),
  recipeRevision: z.int(),
  /** Seconds since 1970: the time of the newest package. */
  epoch: z.int(),
  architecture: z.literal('x86_64'),
  kernelRelease: z.string(),
  /** Made at the first boot by cloud-init, with the keys of its seed. */
  user: z.string(),
  disk: z.strictObject({
    file: z.literal(DISK_FILE),
    format: z.literal('raw'),
    sha256: DigestSchema,
    size: z.int().positive(),
  }),
  inputs: z.array(
    z.strictObject({
      name: z.string(),
      version: z.string(),
      sha256: DigestSchema,
      origin: z.string(),
    }),
  ),
})

export type DiskManifest = z.infer<typeof DiskManifestSchema>

export interface CatalogueImage {
  readonly name: CatalogueName
  /** Absolute, of the disk image; it belongs to the catalogue and is only ever copied. */
  readonly path: string
  readonly format: 'raw'
  readonly sha256: string
  readonly sizeBytes: number
  readonly user: string
  /** Whether it was there before. */
  readonly reused: boolean
  readonly manifest: DiskManifest
}

export interface CatalogueOptions extends BuildContext {
  readonly directories: Pick<Directories, 'images'>
  /** Receives what is done, one line for people at a time. */
  readonly talk?: ((line: string) => void) | undefined
  /** Fetches the newest packages though the image is there. Absent: only where there is none. */
  readonly refresh?: boolean
}

const STEP_WORDS: Readonly<Record<DiskStep, string>> = {
  fetch: 'fetching packages',
  install: 'installing packages into an empty root',
  'file systems': 'writing its file systems',
  disk: 'writing its partitions',
}

export function isCatalogueName(name: string): name is CatalogueName {
  return CATALOGUE_IMAGES.some((known) => known === name)
}

/**
 * The image of that name: the one at hand when this recipe made it, else a new one, which takes a minute or two. Its packages are kept, so
 * that `refresh` alone asks the mirror again.
 *
 * @throws CloisterError `catalogue-image.unknown`, `catalogue-image.build-failed`; the reason of an aborted signal. Nothing is left behind then.
 */
export async function ensureCatalogueImage(
  name: string,
  options: CatalogueOptions,
): Promise<CatalogueImage> {
  if (!isCatalogueName(name))
    throw new CloisterError('catalogue-image.unknown', {
      received: name.slice(0, 80),
      expected: CATALOGUE_IMAGES.join(', '),
    })
  const target = catalogueDirectory(name, options.directories)
  const found = options.refresh === true ? undefined : await loadCatalogueImage(target)
  if (found?.recipeRevision === RECIPE_REVISION) return describe(name, target, found, true)
  try {
    return describe(name, target, await build(name, target, options), false)
  } catch (error) {
    options.signal?.throwIfAborted()
    throw buildFailure(name, error)
  }
}

/** The images at hand, by name; builds none. */
export async function listCatalogueImages(
  directories: Pick<Directories, 'images'>,
): Promise<CatalogueImage[]> {
  const images: CatalogueImage[] = []
  for (const name of CATALOGUE_IMAGES) {
    const target = catalogueDirectory(name, directories)
    const manifest = await loadCatalogueImage(target)
    if (manifest !== undefined) images.push(describe(name, target, manifest, true))
  }
  return images
}

function catalogueDirectory(name: CatalogueName, { images }: Pick<Directories, 'images'>): string {
  return join(images, DISKS_DIRECTORY, name)
}

/** Undefined when there is none, or none that is whole. */
async function loadCatalogueImage(directory: string): Promise<DiskManifest | undefined> {
  try {
    const text = await readFile(join(directory, MANIFEST_FILE), 'utf8')
    const manifest = DiskManifestSchema.parse(JSON.parse(text))
    const { size } = await stat(join(directory, DISK_FILE))
    return size === manifest.disk.size ? manifest : undefined
  } catch {
    return undefined
  }
}

async function build(
  name: CatalogueName,
  target: string,
  { directories, talk, signal, debugLog, refresh = false }: CatalogueOptions,
): Promise<DiskManifest> {
  const context = { signal, debugLog }
  const onProgress = (step: DiskStep) => talk?.(`        ${name}: ${STEP_WORDS[step]}`)
  const made = await makeUnfinished(join(directories.images, DISKS_DIRECTORY))
  const work = await mkdtemp(join(tmpdir(), 'cloister-disk-inputs-'))
  try {
    // As root, apt fetches as the user _apt, who must be able to enter.
    await chmod(work, 0o755)
    onProgress('fetch')
    const kept = refresh ? undefined : await readLock(target).catch(() => undefined)
    if (kept !== undefined) await copyInputs(kept, target, made)
    const lock = kept ?? (await fetchDiskInputs(made, work, context))
    const disk = join(made, DISK_FILE)
    const built = await buildDisk({ directory: made, lock, disk, ...context, onProgress })
    const manifest: DiskManifest = {
      version: 1,
      name,
      recipeRevision: RECIPE_REVISION,
      epoch: built.epoch,
      architecture: 'x86_64',
      kernelRelease: built.kernelRelease,
      user: DEFAULT_USER,
      disk: { ...(await describeFile(made, DISK_FILE)), file: DISK_FILE, format: 'raw' },
      inputs: lock.packages.map((one) => ({
        name: one.name,
        version: one.version,
        sha256: one.sha256,
        origin: one.origin,
      })),
    }
    await writeFile(join(made, MANIFEST_FILE), `${JSON.stringify(manifest, null, 2)}\n`)
    await replaceDirectory(made, target)
    return manifest
  } finally {
    await rm(work, { recursive: true, force: true })
    await rm(made, { recursive: true, force: true })
  }
}

function describe(
  name: CatalogueName,
  directory: string,
  manifest: DiskManifest,
  reused: boolean,
): CatalogueImage {
  const { sha256, size } = manifest.disk
  const path = join(directory, DISK_FILE)
  const { user } = manifest
  return { name, path, format: 'raw', sha256, sizeBytes: size, user, reused, manifest }
}

/** The steps are shared with the guest image, whose codes would name the wrong thing here. */
function buildFailure(name: CatalogueName, cause: unknown): CloisterError {
  if (errorCode(cause) === 'ENOSPC' || errorCode(cause) === 'guest-image.no-space')
    return new CloisterError('catalogue-image.no-space', { where: name, cause })
  if (!(cause instanceof CloisterError))
    return new CloisterError('catalogue-image.build-failed', { where: name, cause })
  const { where, why, expected, received } = cause.details
  const details = {
    where: where ?? name,
    why: why ?? cause.message,
    ...(expected !== undefined && { expected }),
    ...(received !== undefined && { received }),
    cause,
  }
  if (cause.code === 'guest-image.tool-missing')
    return new CloisterError('catalogue-image.tool-missing', details)
  if (/^guest-image\.(?:fetch-failed|mirror-unknown|keyring-missing)$/.test(cause.code))
    return new CloisterError('catalogue-image.fetch-failed', details)
  return new CloisterError('catalogue-image.build-failed', details)
}
