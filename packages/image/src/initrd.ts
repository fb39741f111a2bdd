/** The initial file system: busybox, dmsetup, the kernel modules and the script that brings the guest up. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import type { CpioEntry } from './cpio.ts'
import type { KernelModule } from './kernel-modules.ts'
import { decodeCpio, encodeCpio } from './cpio.ts'
import { readContent } from './files.ts'
import { LOADER, libraryClosure } from './library-closure.ts'

const INIT = new URL('../guest/init.sh', import.meta.url)
const DIRECTORIES = ['bin', 'dev', 'lib', 'lib64', 'modules', 'proc', 'root', 'run', 'sys']
const LIBRARIES = 'lib/x86_64-linux-gnu'

/**
 * @param tree - unpacked packages
 * @param modules - in load order
 * @param epoch - seconds since 1970: the time of all files, and the lower bound of the guest's clock
 */
export async function buildInitrd(
  tree: string,
  modules: readonly KernelModule[],
  epoch: number,
): Promise<Buffer> {
  const dmsetup = join(tree, 'usr/sbin/dmsetup')
  const libraries = await libraryClosure(tree, [dmsetup])
  const entries: CpioEntry[] = [
    ...[...DIRECTORIES, LIBRARIES].map((path) => ({ path, directory: true }) as const),
    { path: 'init', content: await readFile(INIT), executable: true },
    { path: 'epoch', content: Buffer.from(`${epoch}\n`) },
    { path: 'bin/busybox', content: await readContent(tree, 'usr/bin/busybox'), executable: true },
    { path: 'bin/dmsetup', content: await readFile(dmsetup), executable: true },
    {
      path: LOADER.replace('usr/', ''),
      content: await readContent(tree, LOADER),
      executable: true,
    },
  ]
  for (const [name, path] of libraries)
    entries.push({ path: `${LIBRARIES}/${name}`, content: await readContent(tree, path) })
  return encodeCpio([...entries, ...moduleEntries(modules)], epoch)
}

const MODULES_LIST = 'modules.list'

/** The same initial file system with the modules of another kernel. */
export function exchangeModules(
  initrd: Buffer,
  modules: readonly KernelModule[],
  epoch: number,
): Buffer {
  const kept = decodeCpio(initrd).filter(
    ({ path }) => path !== MODULES_LIST && !path.startsWith('modules/'),
  )
  return encodeCpio([...kept, ...moduleEntries(modules)], epoch)
}

function moduleEntries(modules: readonly KernelModule[]): CpioEntry[] {
  return [
    { path: MODULES_LIST, content: Buffer.from(modulesList(modules)) },
    ...modules.map(({ name, content }) => ({ path: `modules/${name}.ko`, content })),
  ]
}

/** One line a module: its need and its name. */
function modulesList(modules: readonly KernelModule[]): string {
  return modules.map(({ name, need }) => `${need} ${name}\n`).join('')
}
