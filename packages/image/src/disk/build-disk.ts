/** Makes the disk of a catalogue image from packages that are all at hand: no network, the same bytes each time. */
import { chmod, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { CloisterError } from '@cloister/protocol/error'

import type { Lock } from '../inputs.ts'
import type { BuildContext } from '../run.ts'
import { writeInto } from '../files.ts'
import { PACKAGES_DIRECTORY } from '../inputs.ts'
import { newestPackageTime, unpackPackages } from '../unpack.ts'
import { bootstrap } from './bootstrap.ts'
import { DISK_SUITE, overlayFiles } from './debian-12.ts'
import { writeEsp, writeRoot } from './file-systems.ts'
import { makeRepository } from './local-repository.ts'
import { partitionDisk } from './partition.ts'

/** Packages whose files stand on the ESP. */
const BOOT_LOADERS: ReadonlySet<string> = new Set([
  'grub-efi-amd64-signed',
  'shim-helpers-amd64-signed',
  'shim-signed',
])

const DISK_STEPS = ['fetch', 'install', 'file systems', 'disk'] as const
export type DiskStep = (typeof DISK_STEPS)[number]

export interface BuildDiskOptions extends BuildContext {
  /** Holds `packages/` as the lock names them. */
  readonly directory: string
  readonly lock: Lock
  /** Path of the raw disk to be made. */
  readonly disk: string
  readonly onProgress?: ((step: DiskStep) => void) | undefined
}

export interface BuiltDisk {
  /** Seconds since 1970: the time of the newest package and of every file. */
  readonly epoch: number
  readonly kernelRelease: string
}

export async function buildDisk(options: BuildDiskOptions): Promise<BuiltDisk> {
  const { directory, lock, disk, onProgress, ...context } = options
  const work = await mkdtemp(join(tmpdir(), 'cloister-disk-'))
  try {
    // Without root, mmdebstrap works as a user of a namespace of its own, who must be able to enter; nobody else may write.
    await chmod(work, 0o755)
    const packages = join(directory, PACKAGES_DIRECTORY)
    const ofDisk = lock.packages.filter(({ origin }) => origin === `Debian ${DISK_SUITE}`)
    const ofTools = lock.packages.filter((one) => !ofDisk.includes(one))
    const epoch = await newestPackageTime(
      packages,
      ofDisk.map(({ file }) => file),
    )
    const kernelRelease = releaseOf(lock)
    const unpacked = async (name: string, wanted: Lock['packages']) => {
      const tree = join(work, name)
      const files = wanted.map(({ file }) => join(packages, file))
      await unpackPackages(files, tree, context)
      return tree
    }

    onProgress?.('install')
    const overlay = join(work, 'overlay')
    await layOutOverlay(overlay, kernelRelease)
    const archive = join(work, 'root.tar')
    const repository = join(work, 'repository')
    const source = await makeRepository(packages, repository, ofDisk, context)
    await bootstrap({ source, overlay, archive, epoch }, context)
    await rm(repository, { recursive: true })

    onProgress?.('file systems')
    const tools = await unpacked('tools', ofTools)
    const loaders = ofDisk.filter(({ name }) => BOOT_LOADERS.has(name))
    const loaderTree = await unpacked('loaders', loaders)
    const esp = join(work, 'esp.img')
    const root = join(work, 'root.img')
    const fileSystem = { ...context, tools, epoch }
    await writeEsp(esp, loaderTree, join(work, 'esp'), fileSystem)
    await writeRoot(root, archive, fileSystem)

    onProgress?.('disk')
    const unfinished = `${disk}.partial`
    await partitionDisk(unfinished, { esp, root }, context)
    await rename(unfinished, disk)
    return { epoch, kernelRelease }
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

/** Readable by whoever installs, whatever the umask is. */
async function layOutOverlay(overlay: string, kernelRelease: string): Promise<void> {
  await mkdir(overlay)
  for (const [path, content] of Object.entries(overlayFiles(kernelRelease)))
    await writeInto(overlay, path, content)
  await chmod(overlay, 0o755)
  for (const entry of await readdir(overlay, { recursive: true, withFileTypes: true }))
    if (entry.isDirectory()) await chmod(join(entry.parentPath, entry.name), 0o755)
}

function releaseOf({ packages }: Lock): string {
  for (const { name } of packages) {
    const release = /^linux-image-(\d.*)$/.exec(name)?.[1]
    if (release !== undefined) return release
  }
  throw new CloisterError('guest-image.content-missing', { where: 'linux-image' })
}
