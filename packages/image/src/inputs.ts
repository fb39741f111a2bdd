/**
 * The inputs of an image: Debian packages, named with their digests in `inputs.lock` and kept in `packages/` beside it, so that
 * the same image can be built again without a network and after the mirror has moved on.
 */
import { copyFile, mkdir, readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { CloisterError } from '@cloister/protocol/error'
import { z } from 'zod'

import type { BuildContext } from './run.ts'
import { debianMirrors } from './debian-mirror.ts'
import { exists, sha256File } from './files.ts'
import { PrivateApt } from './private-apt.ts'
import {
  DATA_PACKAGES,
  FIRMWARE_PACKAGE,
  FIRMWARE_SUITE,
  GUEST_PACKAGES,
  GUEST_SUITE,
  KERNEL_METAPACKAGE,
  TDX_FIRMWARE_PACKAGE,
} from './recipe.ts'
import { run } from './run.ts'

export const LOCK_FILE = 'inputs.lock'
export const PACKAGES_DIRECTORY = 'packages'

const LockedPackageSchema = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9.+-]*$/),
  version: z.string(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  /** In `packages/`. */
  file: z.string().regex(/^[A-Za-z0-9][\w.+~%-]*\.deb$/),
  /** Suite of Debian from which it was taken. */
  origin: z.string(),
})
const LockSchema = z.strictObject({
  version: z.literal(1),
  packages: z.array(LockedPackageSchema).min(1),
})

export type LockedPackage = z.infer<typeof LockedPackageSchema>
export type Lock = z.infer<typeof LockSchema>

/**
 * Reads the lock of an image directory and checks each kept package against it.
 *
 * @returns undefined when the directory has no lock
 * @throws CloisterError `guest-image.lock-invalid`, `guest-image.input-missing`, `guest-image.input-changed`
 */
export async function readLock(directory: string): Promise<Lock | undefined> {
  const path = join(directory, LOCK_FILE)
  if (!(await exists(path))) return undefined
  const lock = parseLock(await readFile(path, 'utf8'), path)
  for (const { file, sha256 } of lock.packages) {
    const kept = join(directory, PACKAGES_DIRECTORY, file)
    if (!(await exists(kept))) throw new CloisterError('guest-image.input-missing', { where: kept })
    const received = await sha256File(kept)
    if (received !== sha256)
      throw new CloisterError('guest-image.input-changed', {
        where: kept,
        expected: sha256,
        received,
      })
  }
  return lock
}

function parseLock(text: string, where: string): Lock {
  try {
    return LockSchema.parse(JSON.parse(text))
  } catch (cause) {
    throw new CloisterError('guest-image.lock-invalid', { where, cause })
  }
}

/** Whether the lock has each package that the recipe of now names. */
export function servesRecipe({ packages }: Lock): boolean {
  const names = new Set(packages.map(({ name }) => name))
  return [...GUEST_PACKAGES, ...DATA_PACKAGES].every((name) => names.has(name))
}

/** Copies the packages of `lock` from one image directory to another and writes the lock there. */
export async function copyInputs(lock: Lock, from: string, to: string): Promise<void> {
  await mkdir(join(to, PACKAGES_DIRECTORY), { recursive: true })
  for (const { file } of lock.packages)
    await copyFile(join(from, PACKAGES_DIRECTORY, file), join(to, PACKAGES_DIRECTORY, file))
  await writeFile(join(to, LOCK_FILE), `${JSON.stringify(lock, null, 2)}\n`)
}

/**
 * Fetches the newest packages of the recipe into `directory` and writes their lock there.
 *
 * @param work - an empty directory that other users may enter: as root, apt fetches as `_apt`
 * @throws CloisterError `guest-image.mirror-unknown`, `guest-image.keyring-missing`, `guest-image.fetch-failed`,
 *   `guest-image.firmware-fetch-failed`
 */
export async function fetchInputs(
  directory: string,
  work: string,
  context: BuildContext,
): Promise<Lock> {
  const { archive, security } = await debianMirrors(join(work, 'mirrors'), context)
  const sources = [
    { address: archive, suite: GUEST_SUITE },
    { address: archive, suite: `${GUEST_SUITE}-updates` },
    ...(security === undefined ? [] : [{ address: security, suite: `${GUEST_SUITE}-security` }]),
  ]
  const guest = await PrivateApt.create(join(work, 'guest'), sources, context)
  await guest.download([
    ...(await guest.closure(GUEST_PACKAGES)),
    ...DATA_PACKAGES,
    await kernelPackage(guest),
  ])
  const firmware = await fetchFirmware(archive, join(work, 'firmware'), context)

  const packages = [
    ...(await keepPackages(guest.downloadDirectory, directory, GUEST_SUITE, context)),
    ...(await keepPackages(firmware.downloadDirectory, directory, FIRMWARE_SUITE, context)),
  ].toSorted((a, b) => (a.name < b.name ? -1 : 1))
  const lock: Lock = { version: 1, packages }
  await writeFile(join(directory, LOCK_FILE), `${JSON.stringify(lock, null, 2)}\n`)
  return lock
}

async function kernelPackage(apt: PrivateApt): Promise<string> {
  const dependencies = await apt.dependencies(KERNEL_METAPACKAGE)
  const name = dependencies.find((one) => one.startsWith('linux-image-'))
  if (name !== undefined) return name
  throw new CloisterError('guest-image.fetch-failed', {
    where: KERNEL_METAPACKAGE,
    why: 'it depends on no kernel',
  })
}

async function fetchFirmware(address: string, work: string, context: BuildContext) {
  try {
    const apt = await PrivateApt.create(work, [{ address, suite: FIRMWARE_SUITE }], context)
    await apt.download([FIRMWARE_PACKAGE, TDX_FIRMWARE_PACKAGE])
    return apt
  } catch (cause) {
    if (!(cause instanceof CloisterError) || cause.code !== 'guest-image.fetch-failed') throw cause
    const { why } = cause.details
    throw new CloisterError('guest-image.firmware-fetch-failed', { cause, ...(why && { why }) })
  }
}

/** Copies fetched packages into `packages/` of an image directory and describes each for the lock. */
export async function keepPackages(
  from: string,
  directory: string,
  suite: string,
  context: BuildContext,
): Promise<LockedPackage[]> {
  const target = join(directory, PACKAGES_DIRECTORY)
  await mkdir(target, { recursive: true })
  const kept: LockedPackage[] = []
  for (const file of (await readdir(from)).filter((name) => name.endsWith('.deb'))) {
    await copyFile(join(from, file), join(target, file))
    const fields = await run(
      'dpkg-deb',
      ['--show', '--showformat=${Package}\n${Version}', join(target, file)],
      context,
    )
    const [name = '', version = ''] = fields.split('\n')
    const sha256 = await sha256File(join(target, file))
    kept.push({ name, version, sha256, file, origin: `Debian ${suite}` })
  }
  return kept
}
