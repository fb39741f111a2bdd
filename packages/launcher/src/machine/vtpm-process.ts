/**
 * The swtpm of one VM. It runs as QEMU does: in a session of its own, under a uid of its own (neither QEMU's nor another VM's), with no
 * right on any folder but that of its state, which it reaches by an inherited descriptor. It ends when QEMU's connection ends.
 */
import { constants } from 'node:fs'
import { access, chown, lchown, lstat, readdir, readFile, readlink } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { CloisterError } from '@cloister/protocol/error'
import { findProgram } from '../find-program.ts'
import { startOwn, type OwnProcess } from '../own-process.ts'
import { killProcess } from '../process-identity.ts'
import { lowering, type Lowering } from '../unprivileged.ts'
import { readError, SOCKETS } from '../vm-files.ts'
import type { VtpmFiles } from '../vm-spec.ts'

/** As swtpm names the permanent state of a TPM 2.0. */
const STATE_FILE = 'tpm2-00.permall'
/** swtpm is ready in some 20 ms. */
const START_TIMEOUT_MS = 10_000
const PAUSE_MS = 5

export interface VtpmStart {
  readonly id: string
  /** QEMU's; the socket is made in it. */
  readonly runtimeDirectory: string
  readonly files: VtpmFiles
  /** How QEMU, which connects, is lowered. */
  readonly qemu: Lowering | undefined
}

/** How swtpm is lowered: as QEMU is, under another uid. Absent: this process is not root. */
export function vtpmLowering(id: string): Lowering | undefined {
  return lowering(`${id} vtpm`, { devices: [], pinsMemory: false, hostPorts: [] })
}

/**
 * Resolves when it takes connections.
 * @throws CloisterError `vtpm.missing`, `vtpm.start-failed`, `vm.file-missing`, `vm.file-unreadable`, `vm.unprivileged-impossible`
 */
export async function startVtpm({ id, runtimeDirectory, files, qemu }: VtpmStart) {
  const program = await findProgram('swtpm')
  if (program === undefined) throw new CloisterError('vtpm.missing', { where: 'swtpm' })
  await requireState(files)
  const lowered = vtpmLowering(id)
  if (lowered !== undefined) {
    await giveState(files.stateDirectory, lowered.uid)
    await chown(runtimeDirectory, lowered.uid, lowered.uid)
  }
  const vtpm = await startOwn({
    // What it says to a hostd that is gone must not end it.
    program: '/usr/bin/env',
    lowering: lowered,
    directory: runtimeDirectory,
    files: [
      { path: files.stateDirectory, writable: false, isReopened: false },
      { path: files.key, writable: false, isReopened: false },
    ],
    arguments: ([state, key]) => [
      '--ignore-signal=PIPE',
      program,
      'socket',
      '--tpm2',
      '--terminate',
      '--tpmstate',
      `dir=/proc/self/fd/${state},mode=0600`,
      '--key',
      `fd=${key},format=hex,mode=aes-256-cbc`,
      '--ctrl',
      `type=unixio,path=${SOCKETS.vtpm},mode=0600`,
    ],
    errors: { missing: 'vtpm.missing', failed: 'vtpm.start-failed' },
  })
  try {
    await untilReady(join(runtimeDirectory, SOCKETS.vtpm), vtpm)
    if (qemu !== undefined) await giveSocket(runtimeDirectory, qemu.uid)
    return vtpm
  } catch (error) {
    await killProcess(vtpm.identity)
    throw error
  }
}

/** Attacker-controlled: the folder was swtpm's until now, so what stands at the name may be a link. */
async function giveSocket(runtimeDirectory: string, uid: number): Promise<void> {
  const where = join(runtimeDirectory, SOCKETS.vtpm)
  await chown(runtimeDirectory, 0, 0)
  const found = await lstat(where)
  if (!found.isSocket() || found.nlink !== 1)
    throw new CloisterError('vtpm.start-failed', { where, received: 'no socket' })
  await lchown(where, uid, uid)
}

/** Without these checks swtpm would make a new TPM where the state is missing, and say of a wrong key only that it cannot start. */
async function requireState({ stateDirectory, key }: VtpmFiles): Promise<void> {
  const state = join(stateDirectory, STATE_FILE)
  if (!(await isThere(state))) throw new CloisterError('vm.file-missing', { where: state })
  const text = await readFile(key, 'latin1').catch((error: unknown) => {
    throw readError(error, key)
  })
  if (!/^[0-9a-f]{64}$/.test(text))
    throw new CloisterError('vtpm.start-failed', { where: key, why: 'it holds no key' })
}

async function untilReady(socket: string, vtpm: OwnProcess): Promise<void> {
  const deadline = performance.now() + START_TIMEOUT_MS
  let hasEnded = false
  void vtpm.ended.then(() => (hasEnded = true))
  while (!(await isListening(vtpm.identity.pid, basename(socket)))) {
    if (hasEnded || performance.now() > deadline)
      throw new CloisterError('vtpm.start-failed', { received: vtpm.said().slice(-500) })
    await sleep(PAUSE_MS)
  }
}

/** SO_ACCEPTCON as /proc/net/unix shows it: proc(5). */
const ACCEPTS_CONNECTIONS = 0x10000

/**
 * Whether a process listens on a unix socket that it bound by this relative name. The file is there before: who connects then is refused. To
 * try it out would end swtpm, which ends with its first connection.
 */
async function isListening(pid: number, name: string): Promise<boolean> {
  const table = await readFile('/proc/net/unix', 'latin1')
  const inodes = table
    .split('\n')
    .map((line) => line.trim().split(/ +/))
    .filter(([, , , flags = '', , , , path]) => {
      return path === name && (parseInt(flags, 16) & ACCEPTS_CONNECTIONS) !== 0
    })
    .map((fields) => `socket:[${fields[6]}]`)
  if (inodes.length === 0) return false
  const folder = `/proc/${pid}/fd`
  const open = await readdir(folder).catch(() => [] as string[])
  const targets = await Promise.all(
    open.map((descriptor) => readlink(join(folder, descriptor)).catch(() => '')),
  )
  return targets.some((target) => inodes.includes(target))
}

function isThere(path: string): Promise<boolean> {
  return access(path, constants.F_OK).then(
    () => true,
    () => false,
  )
}

/**
 * The folder and its files to a uid. Attacker-controlled: an swtpm that its guest took over may have left links there, which are not
 * followed.
 */
export async function giveState(directory: string, uid: number): Promise<void> {
  for (const name of await readdir(directory)) {
    const path = join(directory, name)
    const { nlink } = await lstat(path)
    if (nlink === 1) await lchown(path, uid, uid)
  }
  await lchown(directory, uid, uid)
}
