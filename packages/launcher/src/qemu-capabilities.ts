/** What the installed QEMU can do. Version strings lie (distributions backport), so object types are asked for, too. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { CloisterError } from '@cloister/protocol/error'

export interface QemuVersion {
  readonly major: number
  readonly minor: number
}

export interface QemuCapabilities {
  /** Absolute path, or a name on the PATH. */
  readonly program: string
  readonly version: QemuVersion
  /** Types of `-object`. */
  readonly objects: ReadonlySet<string>
}

const PROGRAMS: Readonly<Record<string, string>> = {
  x64: 'qemu-system-x86_64',
  s390x: 'qemu-system-s390x',
}

/** @throws CloisterError `qemu.missing` */
export async function askQemu(program = PROGRAMS[process.arch]): Promise<QemuCapabilities> {
  if (program === undefined)
    throw new CloisterError('qemu.missing', { why: `no guests on ${process.arch}` })
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
