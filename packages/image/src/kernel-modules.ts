/** Picks the kernel modules of the initrd, decompresses them and puts them into the order in which they load. */
import { readFile, readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { gunzip, zstdDecompress } from 'node:zlib'

import { CloisterError } from '@cloister/protocol/error'

import type { BuildContext } from './run.ts'
import { readContent } from './files.ts'
import { run } from './run.ts'

export interface KernelModule {
  /** With underscores. */
  readonly name: string
  readonly content: Buffer
  readonly need: ModuleNeed
}

/** When a module is loaded: before all else, before the root is mounted or after; and whether its refusal stops the boot. */
const MODULE_NEEDS = ['port', 'root', 'root-optional', 'required', 'optional'] as const
export type ModuleNeed = (typeof MODULE_NEEDS)[number]
export type ModuleSelection = Readonly<Record<ModuleNeed, readonly string[]>>

export interface LoadOrderContext extends BuildContext {
  /** Whether optional modules may be absent, as in kernels that others configured. Absent: no. */
  readonly mayLackOptional?: boolean
}

const COMPRESSED = /\.ko(?:\.(?:xz|zst|gz))?$/
const inflate = { '.zst': promisify(zstdDecompress), '.gz': promisify(gunzip) } as const
/** No module is that large; a file that claims to be one is refused. */
const MAX_MODULE_BYTES = 256 << 20

/** Path below the tree of unpacked packages. */
const MODULES = 'usr/lib/modules'

/** The release of the one kernel in the tree, as `uname -r` says it. */
export async function kernelRelease(tree: string): Promise<string> {
  const [release] = await readdir(join(tree, MODULES)).catch(() => [])
  if (release !== undefined) return release
  throw new CloisterError('guest-image.content-missing', { where: MODULES })
}

/**
 * The selected modules and all that they depend on, each after its dependencies; what is built into the kernel is left out.
 *
 * @throws CloisterError `guest-image.content-missing` for a module that the kernel's package does not hold
 */
export async function loadOrder(
  tree: string,
  selection: ModuleSelection,
  context: LoadOrderContext,
): Promise<KernelModule[]> {
  const root = join(MODULES, await kernelRelease(tree))
  const files = await moduleFiles(join(tree, root))
  const done = await builtinModules(tree)
  const order: KernelModule[] = []

  const visit = async (wanted: string, need: ModuleNeed): Promise<void> => {
    const name = plainName(wanted)
    if (done.has(name)) return
    done.add(name)
    const file = files.get(name)
    if (file === undefined && need.endsWith('optional') && context.mayLackOptional === true) return
    if (file === undefined)
      throw new CloisterError('guest-image.content-missing', { where: `kernel module ${name}` })
    const content = await decompressed(tree, file, context)
    for (const dependency of dependencies(content)) await visit(dependency, need)
    order.push({ name, content, need })
  }
  for (const need of MODULE_NEEDS) for (const name of selection[need]) await visit(name, need)
  return order
}

/** Names of the modules that are part of the kernel itself. */
export async function builtinModules(tree: string): Promise<Set<string>> {
  const list = join(MODULES, await kernelRelease(tree), 'modules.builtin')
  const text = (await readContent(tree, list)).toString()
  return new Set(text.split('\n').map((path) => plainName(basename(path))))
}

/** The `depends=` entry in the module's section `.modinfo`. */
export function dependencies(module: Buffer): string[] {
  const start = module.indexOf('\0depends=', 0, 'latin1') + '\0depends='.length
  if (start < '\0depends='.length) return []
  const text = module.toString('latin1', start, module.indexOf(0, start))
  return text === '' ? [] : text.split(',')
}

async function moduleFiles(directory: string): Promise<Map<string, string>> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  return new Map(
    entries
      .filter((entry) => entry.isFile() && COMPRESSED.test(entry.name))
      .map((entry) => [plainName(entry.name), join(entry.parentPath, entry.name)]),
  )
}

function plainName(file: string): string {
  return file.replace(COMPRESSED, '').replaceAll('-', '_')
}

/** The guest's busybox is static, so it runs here too; the kernel would spend the guest's time on decompression. */
async function decompressed(tree: string, file: string, context: BuildContext): Promise<Buffer> {
  for (const [ending, decompress] of Object.entries(inflate))
    if (file.endsWith(ending))
      return decompress(await readFile(file), { maxOutputLength: MAX_MODULE_BYTES })
  if (!file.endsWith('.xz')) return readFile(file)
  const plain = file.slice(0, -'.xz'.length)
  await run(join(tree, 'usr/bin/busybox'), ['unxz', '-k', '-f', file], context)
  return readFile(plain)
}
