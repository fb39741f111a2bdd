/** Disk images for tests, made by the tools that make real ones. */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, truncate, writeFile } from 'node:fs/promises'
import { delimiter, dirname, join } from 'node:path'

const MIB = 1 << 20
const PATHS = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin']
const ENVIRONMENT = {
  ...process.env,
  PATH: PATHS.join(delimiter),
  MTOOLS_SKIP_CHECK: '1',
  // mtools reads names in the locale's encoding.
  LC_ALL: 'C.UTF-8',
}

/** Why tests that need these programs are skipped, or false. */
export function missingTools(...names: readonly string[]): string | false {
  const missing = names.filter((name) => !PATHS.some((path) => existsSync(join(path, name))))
  return missing.length > 0 && `needs ${missing.join(', ')}`
}

export function call(program: string, ...args: readonly string[]): void {
  execFileSync(program, args, { stdio: ['ignore', 'ignore', 'pipe'], env: ENVIRONMENT })
}

/** @param kind - of mke2fs; @param tree - directory that becomes the root */
export async function makeExt(
  file: string,
  tree: string,
  kind: 'ext2' | 'ext3' | 'ext4',
  options: readonly string[] = [],
): Promise<void> {
  await writeFile(file, '')
  await truncate(file, 24 * MIB)
  call('mke2fs', '-q', '-F', '-t', kind, ...options, '-d', tree, file)
}

/** @param files - path to content; the directories above are made */
export async function makeFat(
  file: string,
  work: string,
  bits: 12 | 16 | 32,
  files: Readonly<Record<string, string | Uint8Array>>,
): Promise<void> {
  await writeFile(file, '')
  await truncate(file, bits === 12 ? 2 * MIB : 40 * MIB)
  call('mkfs.vfat', '-F', `${bits}`, ...(bits === 32 ? ['-s', '1'] : []), file)
  const made = new Set<string>()
  for (const [path, content] of Object.entries(files)) {
    const parts = path.split('/')
    for (let depth = 1; depth < parts.length; depth++) {
      const directory = parts.slice(0, depth).join('/')
      if (!made.has(directory)) call('mmd', '-i', file, `::${directory}`)
      made.add(directory)
    }
    const source = join(work, path)
    await mkdir(dirname(source), { recursive: true })
    await writeFile(source, content)
    call('mcopy', '-i', file, source, `::${path}`)
  }
}
