/** What the installed QEMU can do. Version strings lie (distributions backport), so object types are asked for, too. */
import { execFile } from 'node:child_process'
import { readFile, stat } from 'node:fs/promises'
import { promisify } from 'node:util'
import { CloisterError } from '@cloister/protocol/error'
import { z } from 'zod'
import { findProgram } from './find-program.ts'
import { writeWhole } from './write-whole.ts'

export interface QemuVersion {
  readonly major: number
  readonly minor: number
}

export interface QemuCapabilities {
  /** Absolute path. */
  readonly program: string
  readonly version: QemuVersion
  /** Types of `-object`. */
  readonly objects: ReadonlySet<string>
}

const PROGRAMS: Readonly<Record<string, string>> = {
  x64: 'qemu-system-x86_64',
  s390x: 'qemu-system-s390x',
}

/**
 * Asks the QEMU on the PATH.
 * @param cacheFile - where the answer is remembered until that program changes; absent: it is asked each time
 * @throws CloisterError `qemu.missing`
 */
export async function askQemu(cacheFile?: string): Promise<QemuCapabilities> {
  const name = PROGRAMS[process.arch]
  if (name === undefined)
    throw new CloisterError('qemu.missing', { why: `no guests on ${process.arch}` })
  const program = await findProgram(name)
  if (program === undefined) throw new CloisterError('qemu.missing', { where: name })
  if (cacheFile === undefined) return ask(program)
  const key = await fileKey(program)
  const known = await recall(cacheFile, key)
  if (known !== undefined)
    return { program, version: known.version, objects: new Set(known.objects) }
  const found = await ask(program)
  await writeWhole(cacheFile, JSON.stringify({ ...found, objects: [...found.objects], key }))
  return found
}

const RememberedSchema = z.object({
  key: z.string(),
  version: z.object({ major: z.int(), minor: z.int() }),
  objects: z.array(z.string()),
})

async function recall(path: string, key: string) {
  try {
    const found = RememberedSchema.parse(JSON.parse(await readFile(path, 'utf8')))
    return found.key === key ? found : undefined
  } catch {
    // Absent or of another version: asked anew.
    return undefined
  }
}

/** Changes with the program: an upgrade replaces the file. */
async function fileKey(program: string): Promise<string> {
  const { dev, ino, size, mtimeMs } = await stat(program)
  return [program, dev, ino, size, mtimeMs].join(' ')
}

async function ask(program: string): Promise<QemuCapabilities> {
  try {
    const [version, objects] = await Promise.all([
      runQemu(program, ['--version']),
      runQemu(program, ['-object', 'help']),
    ])
    return { program, version: parseVersion(version), objects: parseObjects(objects) }
  } catch (error) {
    if (error instanceof CloisterError) throw error
    throw new CloisterError('qemu.missing', { where: program, cause: error })
  }
}

async function runQemu(program: string, options: string[]): Promise<string> {
  const run = promisify(execFile)
  const { stdout } = await run(program, options, { timeout: 10_000, maxBuffer: 1 << 20 })
  return stdout
}

/** From `QEMU emulator version 7.2.22 (Debian …)`. */
export function parseVersion(text: string): QemuVersion {
  const found = /version (\d{1,3})\.(\d{1,3})/.exec(text)
  if (found === null)
    throw new CloisterError('qemu.missing', {
      received: text.slice(0, 60),
      why: 'no QEMU answered',
    })
  return { major: Number(found[1]), minor: Number(found[2]) }
}

/** From `List of user creatable objects:` and indented names. */
export function parseObjects(text: string): ReadonlySet<string> {
  return new Set(Array.from(text.matchAll(/^\s+([a-z0-9-]+)$/gm), ([, name]) => name ?? ''))
}

export function isAtLeast(version: QemuVersion, major: number, minor: number): boolean {
  return version.major > major || (version.major === major && version.minor >= minor)
}
