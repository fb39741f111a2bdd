/** Starts QEMU in a session of its own, so that it outlives hostd, with files as inherited descriptors and a bounded memory of stderr. */
import { spawn, type ChildProcess } from 'node:child_process'
import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { CloisterError } from '@cloister/protocol/error'
import { identifyProcess } from './process-identity.ts'
import type { InheritedFile } from './qemu-arguments.ts'
import type { Lowering } from './unprivileged.ts'
import { readError } from './vm-files.ts'
import type { ProcessIdentity } from './vm-spec.ts'

/** What is kept of stderr: its end. */
const STDERR_BYTES = 8 << 10

/** 0 to 2 are standard. */
const FIRST_DESCRIPTOR = 3

export interface QemuCommand {
  readonly program: string
  readonly lowering: Lowering | undefined
  /** Gets the descriptors of `files`, in their order. */
  arguments(descriptors: readonly number[]): readonly string[]
  readonly files: readonly InheritedFile[]
  readonly directory: string
}

export interface QemuEnd {
  readonly exitCode?: number
  readonly signal?: string
}

export interface QemuProcess {
  readonly identity: ProcessIdentity
  readonly ended: Promise<QemuEnd>
  /** The end of what it wrote to stderr. */
  said(): string
  /** Lets this process exit while QEMU runs on. */
  release(): void
}

/** @throws CloisterError `vm.file-missing`, `vm.file-unreadable`, `qemu.missing`, `vm.unprivileged-impossible`, `qemu.start-failed` */
export async function startQemu(command: QemuCommand): Promise<QemuProcess> {
  const handles: FileHandle[] = []
  try {
    for (const file of command.files) handles.push(await openInherited(file, command.lowering))
    return await spawnQemu(command, handles)
  } finally {
    await Promise.all(handles.map((handle) => handle.close()))
  }
}

async function openInherited(file: InheritedFile, lowered: unknown): Promise<FileHandle> {
  let handle: FileHandle
  try {
    handle = await open(file.path, file.writable ? constants.O_RDWR : constants.O_RDONLY)
  } catch (error) {
    throw readError(error, file.path)
  }
  const { mode } = await handle.stat()
  if (!file.isReopened || lowered === undefined || (mode & 0o004) !== 0) return handle
  await handle.close()
  throw new CloisterError('vm.file-unreadable', { where: file.path })
}

async function spawnQemu(command: QemuCommand, handles: FileHandle[]): Promise<QemuProcess> {
  const descriptors = handles.map((_, index) => FIRST_DESCRIPTOR + index)
  const whole = [
    ...(command.lowering?.command ?? []),
    command.program,
    ...command.arguments(descriptors),
  ]
  const [program = '', ...rest] = whole
  const child = spawn(program, rest, {
    cwd: command.directory,
    detached: true,
    // Nothing of our environment is QEMU's business.
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
    stdio: ['ignore', 'ignore', 'pipe', ...handles.map((handle) => handle.fd)],
  })
  const said = keepEnd(child)
  const ended = endOf(child)
  await spawned(child, command)
  const identity = child.pid === undefined ? undefined : await identifyProcess(child.pid)
  if (identity === undefined) {
    await ended
    throw new CloisterError('qemu.start-failed', { received: said() })
  }
  const release = () => {
    child.unref()
    child.stderr?.destroy()
  }
  return { identity, ended, said, release }
}

function spawned(child: ChildProcess, command: QemuCommand): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('spawn', resolve)
    child.once('error', (error) =>
      reject(
        new CloisterError(
          command.lowering === undefined ? 'qemu.missing' : 'vm.unprivileged-impossible',
          { cause: error },
        ),
      ),
    )
  })
}

function endOf(child: ChildProcess): Promise<QemuEnd> {
  return new Promise((resolve) => {
    child.once('error', () => resolve({}))
    child.once('exit', (exitCode, signal) =>
      resolve({ ...(exitCode !== null && { exitCode }), ...(signal !== null && { signal }) }),
    )
  })
}

function keepEnd(child: ChildProcess): () => string {
  let kept = Buffer.alloc(0)
  child.stderr?.on('data', (chunk: Buffer) => {
    kept = Buffer.concat([kept, chunk]).subarray(-STDERR_BYTES)
  })
  child.stderr?.on('error', () => {})
  // Under TCG QEMU lists each feature that the CPU model has and TCG lacks.
  return () =>
    kept
      .toString('utf8')
      .split('\n')
      .filter((line) => !line.includes(': warning: '))
      .join('\n')
      .trim()
}
