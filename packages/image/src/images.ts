/** Finds, reads and checks guest images on this machine. */
import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'

import { CloisterError } from '@cloister/protocol/error'
import type { GuestImageManifest } from '@cloister/protocol/guest-image-manifest'
import { GuestImageManifestSchema } from '@cloister/protocol/guest-image-manifest'

import { describeFile, exists } from './files.ts'

export const MANIFEST_FILE = 'manifest.json'
export const DEFAULT_IMAGE = 'base'

/** Names of the files of an image, as they stand beside its manifest. */
export const IMAGE_FILES = {
  kernel: 'vmlinuz',
  initrd: 'initrd.cpio',
  root: 'root.img',
  firmware: 'OVMF.amdsev.fd',
  tdxFirmware: 'OVMF.inteltdx.fd',
  stub: 'linuxx64.efi.stub',
  unifiedKernel: 'kernel.efi',
} as const

export interface GuestImage {
  readonly directory: string
  readonly manifest: GuestImageManifest
  /** Absolute paths for QEMU. */
  readonly paths: {
    readonly kernel: string
    readonly initrd: string
    readonly root: string
    /** Absent in an image that was built without it. */
    readonly snpFirmware?: string
    /** Absent, each: the image is not for TDX. */
    readonly tdxFirmware?: string
    readonly stub?: string
    readonly unifiedKernel?: string
  }
}

/**
 * Reads the image in a directory. The files themselves are not read: see {@link checkGuestImage}.
 *
 * @throws CloisterError `guest-image.not-found`, `guest-image.manifest-invalid`
 */
export async function loadGuestImage(directory: string): Promise<GuestImage> {
  const manifest = await readManifest(join(directory, MANIFEST_FILE))
  const { kernel, initrd, root, firmware, stub, unifiedKernel } = manifest
  const path = (file: string) => join(directory, file)
  return {
    directory,
    manifest,
    paths: {
      kernel: path(kernel.file),
      initrd: path(initrd.file),
      root: path(root.file),
      ...(firmware.snp !== undefined && { snpFirmware: path(firmware.snp.file) }),
      ...(firmware.tdx !== undefined && { tdxFirmware: path(firmware.tdx.file) }),
      ...(stub !== undefined && { stub: path(stub.file) }),
      ...(unifiedKernel !== undefined && { unifiedKernel: path(unifiedKernel.file) }),
    },
  }
}

/** @throws CloisterError `guest-image.not-found`, `guest-image.manifest-invalid` */
export async function readManifest(path: string): Promise<GuestImageManifest> {
  if (!(await exists(path))) throw new CloisterError('guest-image.not-found', { where: path })
  try {
    return GuestImageManifestSchema.parse(JSON.parse(await readFile(path, 'utf8')))
  } catch (cause) {
    throw new CloisterError('guest-image.manifest-invalid', { where: path, cause })
  }
}

/**
 * The images below `images`, sorted by name. One whose manifest cannot be read is left out: it can be neither used nor told.
 *
 * @param images - `directories().images`; its absence means none
 */
export async function listGuestImages(images: string): Promise<GuestImage[]> {
  const names = await readdir(images).catch(() => [])
  const found = await Promise.all(
    names
      .filter((name) => !name.startsWith('.'))
      .toSorted()
      .map((name) => loadGuestImage(join(images, name)).catch(() => undefined)),
  )
  return found.filter((image) => image !== undefined)
}

/**
 * Compares the files of an image with its manifest by size and SHA-256.
 *
 * @throws CloisterError `guest-image.corrupt` naming the first file that differs
 */
export async function checkGuestImage({ directory, manifest }: GuestImage): Promise<void> {
  for (const expected of filesOf(manifest)) {
    const where = join(directory, expected.file)
    if (!(await exists(where)))
      throw new CloisterError('guest-image.corrupt', { where, why: 'it is missing' })
    const { sha256 } = await describeFile(directory, expected.file)
    if (sha256 !== expected.sha256)
      throw new CloisterError('guest-image.corrupt', {
        where,
        expected: expected.sha256,
        received: sha256,
      })
  }
}

/** What stands beside the manifest. */
export function filesOf({
  kernel,
  initrd,
  root,
  firmware,
  stub,
  unifiedKernel,
}: GuestImageManifest) {
  const files = [kernel, initrd, root, firmware.snp, firmware.tdx, stub, unifiedKernel]
  return files.filter((file) => file !== undefined)
}
