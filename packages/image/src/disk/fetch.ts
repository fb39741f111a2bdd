/** Fetches the packages of a catalogue image, and those of the tools that shape its bytes, by the machine's own mirror. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import type { AptSource } from '../apt-configuration.ts'
import type { Lock } from '../inputs.ts'
import type { BuildContext } from '../run.ts'
import { debianMirrors } from '../debian-mirror.ts'
import { LOCK_FILE, keepPackages } from '../inputs.ts'
import { PrivateApt } from '../private-apt.ts'
import { GUEST_SUITE } from '../recipe.ts'
import { DISK_PACKAGES, DISK_SUITE, KERNEL_SUITE, TOOL_PACKAGES } from './debian-12.ts'

const KERNEL = 'linux-image-cloud-amd64'

/**
 * Writes the packages and their lock into `directory`.
 *
 * @param work - an empty directory that other users may enter: as root, apt fetches as `_apt`
 */
export async function fetchDiskInputs(
  directory: string,
  work: string,
  context: BuildContext,
): Promise<Lock> {
  const { archive, security } = await debianMirrors(join(work, 'mirrors'), context)
  const sources = (suite: string, ...more: readonly string[]): AptSource[] => [
    ...[suite, `${suite}-updates`, ...more].map((one) => ({ address: archive, suite: one })),
    ...(security === undefined ? [] : [{ address: security, suite: `${suite}-security` }]),
  ]
  await mkdir(work, { recursive: true })
  const disk = await PrivateApt.create(
    join(work, 'disk'),
    sources(DISK_SUITE, KERNEL_SUITE),
    context,
  )
  const wanted = DISK_PACKAGES.map((name) => (name === KERNEL ? `${name}/${KERNEL_SUITE}` : name))
  await disk.download(await disk.closure(['?essential', ...wanted]))
  const tools = await PrivateApt.create(join(work, 'tools'), sources(GUEST_SUITE), context)
  await tools.download(await tools.closure(TOOL_PACKAGES))
  const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1)
  const packages = [
    ...(await keepPackages(disk.downloadDirectory, directory, DISK_SUITE, context)).sort(byName),
    ...(await keepPackages(tools.downloadDirectory, directory, GUEST_SUITE, context)).sort(byName),
  ]
  const lock: Lock = { version: 1, packages }
  await writeFile(join(directory, LOCK_FILE), `${JSON.stringify(lock, null, 2)}\n`)
  return lock
}
