/**
 * Makes a boot bundle: a guest image in which a VM's own kernel takes the place of ours. Its initial file system is that of the base image
 * with the modules of this kernel, its root is the base image's. Everything that reads guest images reads bundles.
 */
import { createHash } from 'node:crypto'
import { chmod, copyFile, link, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { CloisterError } from '@cloister/protocol/error'
import type { GuestImageManifest } from '@cloister/protocol/guest-image-manifest'
import { GuestImageManifestSchema } from '@cloister/protocol/guest-image-manifest'
import type { RootFileSystem } from '@cloister/protocol/vm-workload'

import type { GuestImage } from '../images.ts'
import type { KernelModule } from '../kernel-modules.ts'
import type { BuildContext } from '../run.ts'
import { vmCommandLines } from '../command-line.ts'
import { decodeCpio } from '../cpio.ts'
import { describeFile, writeInto } from '../files.ts'
import { IMAGE_FILES, MANIFEST_FILE } from '../images.ts'
import { exchangeModules } from '../initrd.ts'
import { builtinModules, loadOrder } from '../kernel-modules.ts'
import { predictions } from '../predictions.ts'
import { VM_MODULES } from '../recipe.ts'
import { bundleName } from './bundle-name.ts'
import { makeTdxKernel } from './tdx-kernel.ts'

/** A kernel as it was taken out of a disk image. */
export interface DiskKernel {
  /** As `uname -r` says it. */
  readonly release: string
  /** Path of its image, with which QEMU boots it directly. */
  readonly image: string
  /** Directory with `usr/lib/modules/<release>/`, of this kernel alone. */
  readonly tree: string
}

export interface BundleOptions extends BuildContext {
  /** Name of the VM. */
  readonly vm: string
  readonly base: GuestImage
  readonly kernel: DiskKernel
  readonly fileSystem: RootFileSystem
  /** The bundle's directory; made here, must not exist. Nothing is left of it when this fails. */
  readonly directory: string
  /** The version of the new bundle is above this one. Absent: that of the base image. */
  readonly above?: number | undefined
}

export interface BootBundle {
  readonly manifest: GuestImageManifest
  /** Whether the kernel has what attestation under this TEE needs. */
  readonly attests: { readonly snp: boolean; readonly tdx: boolean }
}

/** @throws CloisterError `guest-image.*`, `vm-boot.kernel-unfit` */
export async function buildBundle(options: BundleOptions): Promise<BootBundle> {
  const { directory } = options
  if (!GuestImageManifestSchema.shape.name.safeParse(bundleName(options.vm)).success)
    throw new CloisterError('guest-image.name-invalid', { received: options.vm.slice(0, 80) })
  await mkdir(directory, { mode: 0o755 })
  try {
    return await fill(options)
  } catch (error) {
    await rm(directory, { recursive: true, force: true })
    throw error
  }
}

async function fill(options: BundleOptions): Promise<BootBundle> {
  const { vm, base, kernel, directory, above } = options
  const { epoch, root, firmware } = base.manifest
  const baseInitrd = await readFile(base.paths.initrd)
  const { modules, names } = await kernelModules(baseInitrd, options)
  await writeFile(join(directory, IMAGE_FILES.initrd), exchangeModules(baseInitrd, modules, epoch))
  await copyFile(kernel.image, join(directory, IMAGE_FILES.kernel))
  await chmod(join(directory, IMAGE_FILES.kernel), 0o644)
  await share(base.paths.root, join(directory, root.file))
  if (firmware.snp !== undefined && base.paths.snpFirmware !== undefined)
    await share(base.paths.snpFirmware, join(directory, firmware.snp.file))
  const { tdxFirmware, stub: stubPath } = base.paths
  const isForTdx = tdxFirmware !== undefined && stubPath !== undefined
  if (isForTdx) {
    await share(tdxFirmware, join(directory, IMAGE_FILES.tdxFirmware))
    await share(stubPath, join(directory, IMAGE_FILES.stub))
  }

  const image = await describeFile(directory, IMAGE_FILES.kernel)
  const described: Omit<GuestImageManifest, 'expected'> = {
    ...base.manifest,
    name: bundleName(vm),
    imageVersion: Math.max(base.manifest.imageVersion, (above ?? 0) + 1),
    kernel: { ...image, release: kernel.release },
    initrd: await describeFile(directory, IMAGE_FILES.initrd),
    commandLines: vmCommandLines(root.verity),
    inputs: [
      ...base.manifest.inputs,
      {
        name: 'vm-kernel',
        version: kernel.release,
        sha256: image.sha256,
        origin: 'the disk image of the VM',
      },
      {
        name: 'vm-kernel-modules',
        version: kernel.release,
        sha256: digestOf(modules),
        origin: 'the disk image of the VM',
      },
    ],
  }
  const tdx = isForTdx ? await makeTdxKernel(directory, described) : undefined
  const manifest = {
    ...described,
    ...(tdx && { unifiedKernel: tdx.unifiedKernel }),
    expected: {
      snp: await predictions(directory, described),
      ...(tdx && { tdx: { hardware: tdx.registers } }),
    },
  }
  await writeFile(join(directory, MANIFEST_FILE), `${JSON.stringify(manifest, null, 2)}\n`)
  const reports = names.has('tsm')
  return {
    manifest,
    attests: {
      snp: reports && names.has('sev_guest'),
      tdx: reports && names.has('tdx_guest') && tdx !== undefined,
    },
  }
}

/** The modules to load, and the names of all that the kernel then has. */
async function kernelModules(
  baseInitrd: Buffer,
  { kernel, fileSystem, signal, debugLog }: BundleOptions,
): Promise<{ readonly modules: readonly KernelModule[]; readonly names: ReadonlySet<string> }> {
  try {
    await provideBusybox(baseInitrd, kernel.tree)
    const selection = { ...VM_MODULES, required: [...VM_MODULES.required, fileSystem] }
    const context = { mayLackOptional: true, signal, debugLog }
    const modules = await loadOrder(kernel.tree, selection, context)
    const names = new Set([
      ...(await builtinModules(kernel.tree)),
      ...modules.map(({ name }) => name),
    ])
    return { modules, names }
  } catch (cause) {
    if (!(cause instanceof CloisterError) || cause.code !== 'guest-image.content-missing')
      throw cause
    throw new CloisterError('vm-boot.kernel-unfit', {
      where: kernel.release,
      ...(cause.details.where !== undefined && { received: `no ${cause.details.where}` }),
      cause,
    })
  }
}

/** Modules compressed by xz are unpacked by the guest's own busybox, which is static. */
async function provideBusybox(baseInitrd: Buffer, tree: string): Promise<void> {
  const busybox = decodeCpio(baseInitrd).find(({ path }) => path === 'bin/busybox')
  if (busybox !== undefined && 'content' in busybox)
    await writeInto(tree, 'usr/bin/busybox', busybox.content, 0o755)
}

/** One file under two names where the file system can do that. */
async function share(from: string, to: string): Promise<void> {
  await link(from, to).catch(() => copyFile(from, to))
}

function digestOf(modules: readonly KernelModule[]): string {
  const hash = createHash('sha256')
  for (const { name, need, content } of modules)
    hash.update(`${name} ${need} ${content.length}\0`).update(content)
  return hash.digest('hex')
}
