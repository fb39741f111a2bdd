/**
 * Starts a program (QEMU, swtpm) in a session of its own, so that it outlives hostd, with files as inherited descriptors and a bounded
 * memory of stderr.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { CloisterError } from '@cloister/protocol/error'
import type { ErrorCode } from '@cloister/protocol/errors/catalogue'
import { identifyProcess } from './process-identity.ts'
import type { InheritedFile } from './qemu-arguments.ts'
import type { Lowering } from './unprivileged.ts'
import { readError } from './vm-files.ts'
import type { ProcessIdentity } from './vm-spec.ts'

/** What is kept of stderr: its end. */
const STDERR_BYTES = 8 << 10

/** 0 to 2 are standard. */
const FIRST_DESCRIPTOR = 3

export interface OwnCommand {
  readonly program: string
  readonly lowering: Lowering | undefined
  /** Gets the descriptors of `files`, in their order. */
  arguments(descriptors: readonly number[]): readonly string[]
  readonly files: readonly InheritedFile[]
  readonly directory: string
  /** Codes for a program that is not there, and for one that ends at once. */
  readonly errors: { readonly missing: ErrorCode; readonly failed: ErrorCode }
}

export interface ProcessEnd {
  readonly exitCode?: number
  readonly signal?: string
}

export interface OwnProcess {
  readonly identity: ProcessIdentity
  readonly ended: Promise<ProcessEnd>
  /** The end of what it wrote to stderr. */
  said(): string
  /** Lets this process exit while QEMU runs on. */
  release(): void
}

/** @throws CloisterError `vm.file-missing`, `vm.file-unreadable`, `vm.unprivileged-impossible`, and those of the command */
export async function startOwn(command: OwnCommand): Promise<OwnProcess> {
  const handles: FileHandle[] = []
  try {
    for (const file of command.files) handles.push(await openInherited(file, command.lowering))
    return await spawnOwn(command, handles)
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

/** With files that the caller opened, and closes. @throws as {@link startOwn} */
export async function spawnOwn(
  command: OwnCommand,
  handles: readonly FileHandle[],
): Promise<OwnProcess> {
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
    // Nothing of our environment is its business.
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
    stdio: ['ignore', 'ignore', 'pipe', ...handles.map((handle) => handle.fd)],
  })
  const said = keepEnd(child)
  const ended = endOf(child)
  await spawned(child, command)
  const identity = child.pid === undefined ? undefined : await identifyProcess(child.pid)
  if (identity === undefined) {
    await ended
    throw new CloisterError(command.errors.failed, { received: said() })
  }
  const release = () => {
    child.unref()
    child.stderr?.destroy()
  }
  return { identity, ended, said, release }
}

function spawned(child: ChildProcess, command: OwnCommand): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('spawn', resolve)
    child.once('error', (error) =>
      reject(
        new CloisterError(
          command.lowering === undefined ? command.errors.missing : 'vm.unprivileged-impossible',
          { cause: error },
        ),
      ),
    )
  })
}

function endOf(child: ChildProcess): Promise<ProcessEnd> {
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
