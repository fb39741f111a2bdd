/** Finds in a disk image what its boot will start and read: shim, GRUB and its configurations, kernels, initial file systems. */
import type { BootFile, PredictionInput } from '@cloister/verifier/eventlog/predict-boot'

import type { DiskFiles } from './disk-files.ts'
import type { DiskImage } from './open-disk-image.ts'
import { requireEsp, requireRoot } from './open-disk-image.ts'

/** Where firmware looks on a disk that it has no entry for. */
const REMOVABLE = '/EFI/BOOT'
const MAX_FILES = 512
const MAX_CONFIGURATION_BYTES = 1 << 20
const MAX_DEPTH = 4
const MAX_INITRD_BYTES = 256 << 20
/** Of kernels and initial file systems together: they are held in memory. */
const MAX_KERNEL_BYTES = 768 << 20

export type BootChain = Omit<PredictionInput, 'secureBoot'>

/** @throws CloisterError `disk-image.no-esp`, `disk-image.no-root`, and as reading */
export async function readBootChain(image: DiskImage): Promise<BootChain> {
  const esp = requireEsp(image)
  const root = requireRoot(image)
  const { header, usedEntries } = image.table
  const loaders = await readLoaders(esp)
  const configurations = await readConfigurations(esp, root)
  const kernels = await readKernels(root)
  const lines = configurations.flatMap(({ content }) => kernelLines(content.toString()))
  const [first] = lines
  // What a loader that is not known starts in the end is not known either.
  const booted = first === undefined || !loaders.isPlain ? undefined : kernelOf(first, kernels)
  const images = booted === undefined ? loaders.images : [...loaders.images, booted]
  const isWholeChain = booted !== undefined
  return {
    images,
    isWholeChain,
    table: { header, entries: usedEntries },
    // Only what GRUB reads is known; another boot loader measures otherwise.
    files: loaders.isPlain ? [...configurations, ...kernels] : [],
    commandLines: lines.some((line) => line.includes('$')) ? [] : lines,
  }
}

/** Plain: shim, and GRUB beside it, with no fallback that would write boot entries first. */
async function readLoaders(esp: DiskFiles): Promise<{ images: BootFile[]; isPlain: boolean }> {
  const names = (await esp.list(REMOVABLE)).map(({ name }) => name)
  const find = (wanted: string) => names.find((name) => name.toLowerCase() === wanted)
  const first = find('bootx64.efi')
  if (first === undefined) return { images: [], isPlain: false }
  const read = async (component: BootFile['component'], name: string): Promise<BootFile> => {
    const path = `${REMOVABLE}/${name}`
    return { component, path, content: await esp.read(path) }
  }
  const grub = find('grubx64.efi')
  const isPlain = grub !== undefined && find('fbx64.efi') === undefined
  const images = [await read(isPlain ? 'shim' : 'boot loader', first)]
  if (grub !== undefined && isPlain) images.push(await read('grub', grub))
  return { images, isPlain }
}

type ConfigurationFile = BootFile & { readonly content: Buffer }

async function readConfigurations(esp: DiskFiles, root: DiskFiles): Promise<ConfigurationFile[]> {
  const found: ConfigurationFile[] = []
  for (const { name, kind } of await esp.list('/EFI')) {
    const path = `/EFI/${name}/grub.cfg`
    if (kind !== 'directory' || !(await esp.has(path))) continue
    const content = await esp.read(path, MAX_CONFIGURATION_BYTES)
    found.push({ component: 'grub configuration', path, content })
  }
  for (const directory of ['/boot/grub', '/boot/grub2'])
    if (await root.has(directory)) await addFiles(root, directory, found, 0)
  return found
}

async function addFiles(
  root: DiskFiles,
  directory: string,
  found: ConfigurationFile[],
  depth: number,
): Promise<void> {
  for (const { name, kind } of await root.list(directory)) {
    const path = `${directory}/${name}`
    if (kind === 'directory' && depth < MAX_DEPTH) await addFiles(root, path, found, depth + 1)
    if (kind !== 'file' || found.length >= MAX_FILES) continue
    const isConfiguration = name.endsWith('.cfg') || name === 'grubenv'
    const component = isConfiguration ? 'grub configuration' : 'grub file'
    found.push({ component, path, content: await root.read(path) })
  }
}

async function readKernels(root: DiskFiles): Promise<BootFile[]> {
  const found: BootFile[] = []
  let left = MAX_KERNEL_BYTES
  for (const { name, kind } of await root.list('/boot')) {
    const component = kind === 'file' ? kernelComponent(name) : undefined
    if (component === undefined) continue
    const path = `/boot/${name}`
    const content = await root.read(path, Math.min(left, MAX_INITRD_BYTES))
    left -= content.length
    found.push({ component, path, content })
  }
  return found
}

function kernelComponent(name: string): 'kernel' | 'initrd' | undefined {
  if (name.startsWith('vmlinu')) return 'kernel'
  return /^init(?:rd|ramfs)/.test(name) ? 'initrd' : undefined
}

/** Arguments of GRUB's `linux` commands, as GRUB measures them: words with one blank between them. */
export function kernelLines(configuration: string): string[] {
  return [...configuration.matchAll(/^[ \t]*linux(?:efi)?[ \t]+(\S.*)$/gm)].map(([, words = '']) =>
    words
      .trim()
      .split(/[ \t]+/)
      .join(' '),
  )
}

function kernelOf(line: string, kernels: readonly BootFile[]): BootFile | undefined {
  const name = line.split(' ')[0]?.split('/').at(-1)
  return kernels.find(
    ({ component, path }) => component === 'kernel' && path.split('/').at(-1) === name,
  )
}
