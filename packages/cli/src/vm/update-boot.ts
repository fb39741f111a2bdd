/**
 * Another kernel for a VM with a measured boot: a new boot bundle under the VM's name, its digests at the broker, and release policies that name it or
 * a later one. The disk and its key stay as they are.
 */
import { cp, mkdir, mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { bundleName } from '@cloister/image/boot-bundle/bundle-name'
import type { DiskKernel } from '@cloister/image/boot-bundle/build-bundle'
import type { HostdClient } from '@cloister/hostd/client'
import type { Directories } from '@cloister/protocol/directories'
import { CloisterError } from '@cloister/protocol/error'
import { isAtRest, type VmView } from '@cloister/protocol/hostd-vm-api'
import type { BrokerClient } from '../owner/broker-client.ts'
import { ensureGuestImage } from '../setup/ensure-guest-image.ts'
import type { MeasuredTee } from '../workload/choose-tee.ts'
import { registerGuestImage } from '../workload/register.ts'
import { openDiskImage } from './disk-catalogue.ts'
import { latestVersion, placeBundle } from './measured-boot.ts'
import { rawDisk } from './raw-disk.ts'

/** Where the kernel comes from: a disk image, or a kernel's file with the folder of its modules, which is named by its release. */
export type KernelSource =
  | { readonly image: string }
  | { readonly kernel: string; readonly modules: string }

export interface UpdateBootContext {
  readonly directories: Directories
  readonly broker: BrokerClient
  readonly hostd: HostdClient
  readonly talk: (line: string) => void
  readonly signal: AbortSignal
}

export interface UpdatedBoot {
  readonly guestImage: string
  readonly imageVersion: number
  /** As `uname -r` says it. */
  readonly kernel: string
  /** Paths of the secrets whose release policies demand this bundle, or a later one, from now on. */
  readonly secrets: readonly string[]
}

/** @throws CloisterError `vm.not-found`, `vm.still-running`, `vm.combination-unfit`, `vm-boot.*`, `guest-image.*`, `owner.broker-*` */
export async function updateBoot(
  name: string,
  source: KernelSource,
  context: UpdateBootContext,
): Promise<UpdatedBoot> {
  const { directories, broker, hostd, talk, signal } = context
  const tee = measuredTee(await hostd.vms.get(name, { signal }))
  const work = await mkdtemp(join(tmpdir(), 'cloister-vm-'))
  try {
    const kernel = await takeKernel(source, work, context)
    const { image: base } = await ensureGuestImage({ directories, talk, signal })
    const { buildBundle } = await import('@cloister/image/boot-bundle/build-bundle')
    const directory = join(work, 'bundle')
    const { manifest, attests } = await buildBundle({
      signal,
      vm: name,
      base,
      kernel,
      fileSystem: 'ext4',
      directory,
      above: await latestVersion(broker, bundleName(name)),
    })
    if (tee !== 'simulated' && !attests[tee])
      throw new CloisterError('vm-boot.tee-driver-missing', { where: kernel.release })
    // In this order each step may be the last one: the same command again does the rest.
    await registerGuestImage(broker, manifest, { tee, debug: false })
    await placeBundle(directory, join(directories.images, manifest.name))
    const secrets = await demandVersion(manifest, broker)
    return {
      guestImage: manifest.name,
      imageVersion: manifest.imageVersion,
      kernel: kernel.release,
      secrets,
    }
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

/**
 * Of a VM that can boot another bundle. That of one that runs must stay, for its evidence is held against it.
 *
 * @throws CloisterError `vm.combination-unfit`, `vm.still-running`
 */
export function measuredTee({ name, tee, state }: VmView): MeasuredTee {
  if (tee !== 'snp' && tee !== 'tdx' && tee !== 'simulated')
    throw new CloisterError('vm.combination-unfit', {
      received: `--tee ${tee}`,
      why: 'this VM boots the kernel of its own disk: an update in the guest is all it needs',
      fix: [`cloister vm integrity ${name} --learn, after the update`],
    })
  if (!isAtRest(state)) throw new CloisterError('vm.still-running', { where: name })
  return tee
}

async function takeKernel(
  source: KernelSource,
  work: string,
  { directories, talk, signal }: UpdateBootContext,
): Promise<DiskKernel> {
  if ('image' in source) {
    const { path } = await openDiskImage(source.image, { directories, talk, signal })
    const { readDiskSystem } = await import('@cloister/image/boot-bundle/disk-system')
    return (await readDiskSystem(await rawDisk(path, work, signal), work, { signal })).kernel
  }
  const release = basename(source.modules)
  const tree = join(work, 'kernel')
  const image = join(work, 'vmlinuz')
  for (const [path, isRight] of [
    [source.kernel, (await isThere(source.kernel)) === 'file'],
    [source.modules, (await isThere(source.modules)) === 'folder'],
  ] as const)
    if (!isRight) throw new CloisterError('cli.file-unreadable', { where: path })
  if (!/^\d[\w.+~-]*$/.test(release))
    throw new CloisterError('vm-boot.kernel-missing', {
      where: source.modules,
      why: 'the folder of modules must be named by the release of its kernel, as in /usr/lib/modules',
    })
  const folder = join(tree, 'usr/lib/modules', release)
  await mkdir(folder, { recursive: true })
  await cp(source.kernel, image)
  await cp(source.modules, folder, { recursive: true, verbatimSymlinks: true })
  return { release, image, tree }
}

async function isThere(path: string): Promise<'file' | 'folder' | undefined> {
  const found = await stat(path).catch(() => undefined)
  if (found?.isFile() === true) return 'file'
  return found?.isDirectory() === true ? 'folder' : undefined
}

/**
 * From now on the kernels before get nothing: no secret whose policy names the bundle, whoever wrote that policy.
 *
 * @returns paths of those whose policy was raised
 */
export async function demandVersion(
  { name, imageVersion }: { readonly name: string; readonly imageVersion: number },
  broker: Pick<BrokerClient, 'secrets' | 'putReleasePolicy'>,
): Promise<readonly string[]> {
  const raised: string[] = []
  for (const { path, release } of await broker.secrets()) {
    if (release === null || release.kind === 'tpm') continue
    const isBelow = (image: (typeof release.guestImages)[number]) =>
      image.name === name && image.minimumVersion < imageVersion
    if (!release.guestImages.some(isBelow)) continue
    const guestImages = release.guestImages.map((image) =>
      isBelow(image) ? { ...image, minimumVersion: imageVersion } : image,
    )
    await broker.putReleasePolicy(path, { ...release, guestImages })
    raised.push(path)
  }
  return raised
}
