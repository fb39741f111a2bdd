/**
 * Starts the machine of a TD under emulation, with the TD's own firmware and a program of ours in the place of its kernel, and reads what firmware would
 * measure of it. On the owner's side: what it tells of ACPI is that of the QEMU at hand, and a host with another one has other tables.
 */
import { chmod, chown, copyFile, mkdtemp, open, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CloisterError } from '@cloister/protocol/error'
import { FormatError } from '@cloister/verifier/bytes/format-error'
import type { MachineRecord } from '@cloister/verifier/tdx/machine-events'
import { openForeign } from '../open-foreign.ts'
import { startOwn, type OwnProcess } from '../own-process.ts'
import { killProcess } from '../process-identity.ts'
import { qemuArguments, type GuestDescriptors, type TeeArguments } from '../qemu-arguments.ts'
import { QmpClient } from '../qmp.ts'
import { lowering } from '../unprivileged.ts'
import { SOCKETS } from '../vm-files.ts'
import { probeProgram } from './program.ts'
import { readAnswer } from './read-answer.ts'

export interface ProbedMachine {
  /** Absolute path of the TD's firmware. */
  readonly firmware: string
  readonly cpus: number
  readonly memoryMiB: number
}

/** Firmware comes to its kernel in 3 s on an idle host. */
const PROBE_MS = 120_000
const CONNECT_PAUSE_MS = 20
/** ACPI does not tell a disk's size. */
const DISK_BYTES = 1 << 20
const MAX_ANSWER_BYTES = 16 << 20
const ANSWER = 'answer'

/** As the driver of TDX has it, without a TEE: under TDX QEMU leaves out the PIC by itself. */
const TEE: TeeArguments = {
  board: 'q35',
  cpu: 'max',
  machine: ['pic=off'],
  objects: () => [],
  firmware: 'bios',
  hasTeePort: false,
  isUnified: true,
}

/**
 * @param qemu - absolute path of qemu-system-x86_64
 * @throws CloisterError `vm.machine-probe-failed`, `qemu.missing`; the signal's reason
 */
export async function probeMachine(
  qemu: string,
  machine: ProbedMachine,
  signal?: AbortSignal,
): Promise<MachineRecord> {
  const folder = await mkdtemp(join(tmpdir(), 'cloister-probe-'))
  try {
    const answer = join(folder, ANSWER)
    const process = await start(qemu, machine, folder)
    try {
      await runToEnd(process, join(folder, SOCKETS.qmp), signal)
    } finally {
      await killProcess(process.identity)
      await process.ended
    }
    return await read(answer, process.said())
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** The firmware may be anybody's: QEMU runs it without our rights. */
async function start(qemu: string, machine: ProbedMachine, folder: string): Promise<OwnProcess> {
  const { cpus, memoryMiB } = machine
  const lowered = lowering('probe', { devices: [], pinsMemory: false, hostPorts: [] })
  const [kernel, firmware] = [join(folder, 'program'), join(folder, 'firmware')]
  await writeFile(kernel, probeProgram())
  await copyFile(machine.firmware, firmware)
  // QEMU opens these again.
  for (const path of [kernel, firmware]) await chmod(path, 0o644)
  const disk = async (name: string) => {
    const path = join(folder, name)
    await using file = await open(path, 'w', 0o600)
    await file.truncate(DISK_BYTES)
    return path
  }
  const disks = { root: await disk('a'), initdata: await disk('b'), system: await disk('c') }
  const files = { kernel, firmware, ...disks }
  if (lowered !== undefined) await chown(folder, lowered.uid, lowered.uid)
  const names = Object.keys(files) as (keyof typeof files)[]
  return await startOwn({
    program: qemu,
    lowering: lowered,
    directory: folder,
    files: names.map((name) => ({
      path: files[name],
      writable: name === 'system',
      isReopened: name === 'kernel' || name === 'firmware',
    })),
    arguments: (numbers) => {
      const descriptors: GuestDescriptors = Object.fromEntries(
        names.map((name, index) => [name, numbers[index] as number]),
      )
      return probeArguments({ cpus, memoryMiB }, descriptors)
    },
    errors: { missing: 'qemu.missing', failed: 'vm.machine-probe-failed' },
  })
}

/** QEMU's command line; of what ACPI tells, it is that of the TD. */
export function probeArguments(
  size: Pick<ProbedMachine, 'cpus' | 'memoryMiB'>,
  descriptors: GuestDescriptors,
): string[] {
  return [...qemuArguments({ ...HARDWARE, ...size }, descriptors, TEE), ...ANSWER_PORT]
}

/** A machine of `cloister vm` with a measured boot. */
const HARDWARE = {
  id: 'probe',
  accelerator: 'tcg',
  isSingleThreaded: false,
  commandLine: '',
  ports: [],
  debugSerial: false,
  machine: {
    isPlain: false,
    hasSecureBoot: false,
    systemFormat: 'raw',
    hasVtpm: false,
    hasConsole: true,
  },
} as const

/** ACPI does not speak of this device. */
const ANSWER_PORT = [
  '-chardev',
  `file,id=answer,path=${ANSWER}`,
  '-device',
  'isa-debugcon,iobase=0xe9,chardev=answer',
]

async function runToEnd(
  process: OwnProcess,
  socket: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const late = AbortSignal.timeout(PROBE_MS)
  const stop = signal === undefined ? late : AbortSignal.any([signal, late])
  let hasEnded = false
  const ended = process.ended.then(() => (hasEnded = true))
  const stopped = new Promise<void>((resolve) => stop.addEventListener('abort', () => resolve()))
  for (;;) {
    signal?.throwIfAborted()
    if (hasEnded || late.aborted) throw failure(process.said())
    try {
      const qmp = await QmpClient.connect(socket)
      await qmp.execute('cont')
      await Promise.race([ended, stopped])
      qmp.close()
      signal?.throwIfAborted()
      return
    } catch (error) {
      if (!(error instanceof CloisterError) || error.code !== 'qemu.unresponsive') throw error
    }
    await new Promise((resolve) => setTimeout(resolve, CONNECT_PAUSE_MS))
  }
}

async function read(path: string, said: string): Promise<MachineRecord> {
  try {
    return readAnswer(await answerIn(path))
  } catch (error) {
    if (error instanceof FormatError) throw failure(said === '' ? error.message : said, error)
    throw error
  }
}

/** QEMU made the file, in a folder that it may write. */
async function answerIn(path: string): Promise<Uint8Array> {
  const file = await openForeign(path, 'read').catch(() => undefined)
  if (file === undefined) return new Uint8Array()
  await using _ = file
  if ((await file.stat()).size > MAX_ANSWER_BYTES) throw failure('it answered something else')
  return await file.readFile()
}

function failure(received: string, cause?: unknown): CloisterError {
  return new CloisterError('vm.machine-probe-failed', { received, cause })
}
