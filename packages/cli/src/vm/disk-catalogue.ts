/**
 * Disk images by name: those that Cloister builds, and those that were imported, each in a folder of `images/disks/` with a manifest. Machines
 * get copies; an image is never written again.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { z } from 'zod'
import {
  ensureCatalogueImage,
  isCatalogueName,
  listCatalogueImages,
  type CatalogueImage,
} from '@cloister/image/disk/catalogue'
import { importDisk } from '@cloister/launcher/machine/disk-image'
import type { Directories } from '@cloister/protocol/directories'
import { CloisterError } from '@cloister/protocol/error'
import { badOption } from '../option-values.ts'

const MANIFEST_FILE = 'import.json'
const DISK_FILE = 'disk.qcow2'
const NAME = /^[a-z0-9][a-z0-9.-]{0,62}$/

const ImportManifestSchema = z.strictObject({
  version: z.literal(1),
  name: z.string().regex(NAME),
  /** File that it was made from, as it was called then. */
  source: z.string(),
  importedAt: z.iso.datetime(),
  /** Who `vm ssh` logs in as. Absent: not said. */
  user: z.string().optional(),
  disk: z.strictObject({
    file: z.literal(DISK_FILE),
    format: z.literal('qcow2'),
    sha256: z.string().regex(/^[0-9a-f]{64}$/),
    /** Of the file. */
    size: z.int().positive(),
    /** As the guest sees it. */
    virtualBytes: z.int().positive(),
  }),
})
type ImportManifest = z.infer<typeof ImportManifestSchema>

/** One image of the catalogue. */
export interface DiskImageEntry {
  readonly name: string
  readonly kind: 'built' | 'imported'
  readonly path: string
  readonly format: 'raw' | 'qcow2'
  readonly sha256: string
  readonly sizeBytes: number
  readonly virtualBytes: number
  readonly user?: string
}

interface BuildOptions {
  readonly directories: Directories
  readonly talk: (line: string) => void
  readonly signal: AbortSignal
}

/** Images at hand, by name. */
export async function listDiskImages(
  directories: Pick<Directories, 'images'>,
): Promise<DiskImageEntry[]> {
  const built = (await listCatalogueImages(directories)).map(builtEntry)
  const found = await readdir(disksFolder(directories)).catch(() => [] as string[])
  const names = found.toSorted((a, b) => (a < b ? -1 : 1))
  const imported = await Promise.all(names.map((name) => loadImport(directories, name)))
  return [...built, ...imported.filter((entry) => entry !== undefined)]
}

/**
 * The image that `--image` names: a file, an imported image, or one that Cloister builds, which is built when it is not there.
 *
 * @throws CloisterError `vm.image-unknown`, `vm.image-damaged`, `catalogue-image.*`
 */
export async function openDiskImage(
  image: string,
  options: BuildOptions,
): Promise<Pick<DiskImageEntry, 'name' | 'path' | 'user'> & { readonly sha256?: string }> {
  const { directories } = options
  if (!image.includes('/') && NAME.test(image)) {
    if (isCatalogueName(image)) return builtEntry(await ensureCatalogueImage(image, options))
    const imported = await loadImport(directories, image)
    if (imported !== undefined) {
      await checkDigest(imported)
      return imported
    }
  }
  const path = resolve(image)
  const found = await stat(path).catch(() => undefined)
  if (found?.isFile() !== true)
    throw new CloisterError('vm.image-unknown', { received: image.slice(0, 200) })
  return { name: path.split('/').at(-1) ?? image, path }
}

/**
 * Copies a disk image, raw or qcow2, into the catalogue.
 *
 * @throws CloisterError `vm.image-name-taken`, `cli.usage`, `disk.*`, `host.disk-full`; nothing is left then
 */
export async function importDiskImage(
  source: string,
  name: string,
  options: {
    readonly directories: Pick<Directories, 'images'>
    readonly user?: string | undefined
    readonly signal: AbortSignal
  },
): Promise<DiskImageEntry> {
  const { directories, user, signal } = options
  if (!NAME.test(name))
    throw badOption('this is no name for an image', 'a-z, 0-9, - and ., at most 63', name)
  const folder = join(disksFolder(directories), name)
  if (isCatalogueName(name) || (await loadImport(directories, name)) !== undefined)
    throw new CloisterError('vm.image-name-taken', { where: name })
  await mkdir(disksFolder(directories), { recursive: true, mode: 0o755 })
  const unfinished = join(disksFolder(directories), `.${name}.${process.pid}`)
  await rm(unfinished, { recursive: true, force: true })
  await mkdir(unfinished)
  try {
    const path = join(unfinished, DISK_FILE)
    const { virtualBytes } = await importDisk(resolve(source), path, { signal })
    const manifest: ImportManifest = {
      version: 1,
      name,
      source: source.split('/').at(-1) ?? source,
      importedAt: new Date().toISOString(),
      ...(user !== undefined && { user }),
      disk: {
        file: DISK_FILE,
        format: 'qcow2',
        sha256: await fileDigest(path, signal),
        size: (await stat(path)).size,
        virtualBytes,
      },
    }
    await writeFile(join(unfinished, MANIFEST_FILE), `${JSON.stringify(manifest, null, 2)}\n`)
    await rm(folder, { recursive: true, force: true })
    await rename(unfinished, folder)
    return importEntry(folder, manifest)
  } finally {
    await rm(unfinished, { recursive: true, force: true })
  }
}

/** Removes an image; machines that were made from it keep their copies. @throws CloisterError `vm.image-unknown` */
export async function removeDiskImage(
  directories: Pick<Directories, 'images'>,
  name: string,
): Promise<void> {
  const found = (await listDiskImages(directories)).find((entry) => entry.name === name)
  if (found === undefined)
    throw new CloisterError('vm.image-unknown', { received: name.slice(0, 200) })
  await rm(join(disksFolder(directories), found.name), { recursive: true, force: true })
}

function disksFolder({ images }: Pick<Directories, 'images'>): string {
  return join(images, 'disks')
}

function builtEntry(image: CatalogueImage): DiskImageEntry {
  const { name, path, format, sha256, sizeBytes, user } = image
  return { name, kind: 'built', path, format, sha256, sizeBytes, virtualBytes: sizeBytes, user }
}

/** Absent: there is none of that name whose manifest can be read. */
async function loadImport(
  directories: Pick<Directories, 'images'>,
  name: string,
): Promise<DiskImageEntry | undefined> {
  const folder = join(disksFolder(directories), name)
  try {
    const text = await readFile(join(folder, MANIFEST_FILE), 'utf8')
    return importEntry(folder, ImportManifestSchema.parse(JSON.parse(text)))
  } catch {
    return undefined
  }
}

function importEntry(folder: string, { name, user, disk }: ImportManifest): DiskImageEntry {
  const { sha256, size: sizeBytes, virtualBytes, format } = disk
  const path = join(folder, DISK_FILE)
  const common = { name, path, format, sha256, sizeBytes, virtualBytes }
  return { ...common, kind: 'imported', ...(user !== undefined && { user }) }
}

async function checkDigest({ path, sha256 }: DiskImageEntry): Promise<void> {
  const received = await fileDigest(path).catch(() => 'no file')
  if (received !== sha256)
    throw new CloisterError('vm.image-damaged', { where: path, expected: sha256, received })
}

async function fileDigest(path: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256')
  const source = createReadStream(path, { highWaterMark: 1 << 20 })
  await pipeline(source, hash, ...(signal === undefined ? [] : [{ signal }]))
  return hash.digest('hex')
}
