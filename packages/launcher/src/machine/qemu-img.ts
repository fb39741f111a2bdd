/**
 * Runs qemu-img on files that we opened. It runs as QEMU does, without privileges, and with bounds on memory and time; the formats are always
 * named, and backing files never followed whatever a header says.
 */
import { randomUUID } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import { CloisterError } from '@cloister/protocol/error'
import { findProgram } from '../find-program.ts'
import { spawnOwn } from '../own-process.ts'
import { killProcess } from '../process-identity.ts'
import { lowering } from '../unprivileged.ts'

/** Its caches are some MiB; the tables of a large image some hundred. */
const MEMORY_BYTES = 4 * 2 ** 30
const TIMEOUT_MS = 3_600_000

export type DiskFormat = 'raw' | 'qcow2'

export interface QemuImgFile {
  readonly handle: FileHandle
  /** Whether the file is its own meanwhile. Otherwise everybody must be able to read it. */
  readonly isOwn: boolean
}

/**
 * @param words - gets the paths of the files, in their order
 * @throws CloisterError `disk.tool-missing`, `disk.tool-failed`, `disk.in-use`, `host.disk-full`, or the signal's reason
 */
export async function runQemuImg(
  files: readonly QemuImgFile[],
  words: (...paths: readonly string[]) => readonly string[],
  signal?: AbortSignal,
): Promise<void> {
  const program = await findProgram('qemu-img')
  if (program === undefined) throw new CloisterError('disk.tool-missing', { where: 'qemu-img' })
  signal?.throwIfAborted()
  // A uid of its own each time: what works on one VM's disk cannot reach what works on another's.
  const needs = { devices: [], pinsMemory: false, hostPorts: [] }
  const lowered = lowering(`qemu-img ${randomUUID()}`, needs)
  const handles = files.map(({ handle }) => handle)
  await giveFiles(files, lowered?.uid)
  try {
    const own = await spawnOwn(
      {
        program: 'prlimit',
        lowering: lowered,
        directory: '/',
        files: [],
        arguments: (numbers) => [
          '--core=0',
          `--as=${MEMORY_BYTES}`,
          '--nofile=64',
          '--',
          program,
          ...words(...numbers.map((number) => `/proc/self/fd/${number}`)),
        ],
        errors: { missing: 'disk.tool-missing', failed: 'disk.tool-failed' },
      },
      handles,
    )
    const stop = () => void killProcess(own.identity)
    const timer = setTimeout(stop, TIMEOUT_MS)
    signal?.addEventListener('abort', stop)
    const end = await own.ended
    clearTimeout(timer)
    signal?.removeEventListener('abort', stop)
    signal?.throwIfAborted()
    if (end.exitCode !== 0) throw toolFailure(own.said())
  } finally {
    if (lowered !== undefined) await giveFiles(files, process.getuid?.())
  }
}

async function giveFiles(files: readonly QemuImgFile[], uid: number | undefined): Promise<void> {
  if (uid === undefined) return
  for (const { handle, isOwn } of files) if (isOwn) await handle.chown(uid, uid)
}

function toolFailure(said: string): CloisterError {
  const received = said.slice(-300)
  if (/No space left|quota exceeded/i.test(said))
    return new CloisterError('host.disk-full', { received })
  if (/get "[a-z ]+" lock/i.test(said)) return new CloisterError('disk.in-use', { received })
  return new CloisterError('disk.tool-failed', { received })
}

/** A disk as `json:` names it: its driver, its file, and no backing file. */
export function diskName(format: DiskFormat, path: string): string {
  const file = { driver: 'file', filename: path }
  return `json:${JSON.stringify({ driver: format, ...(format === 'qcow2' && { backing: null }), file })}`
}
