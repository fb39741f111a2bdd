/** Starts a VM: checks, files, its TPM, QEMU standing still, the TEE's launch, then the guest. Whatever fails, nothing is left behind. */
import { chmod, chown, open, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CloisterError } from '@cloister/protocol/error'
import type { TeeDriver } from './drivers/driver.ts'
import { driverOf } from './drivers/table.ts'
import { checkPorts } from './host-ports.ts'
import { makeTap, removeTap, tapName } from './machine/tap.ts'
import { startVtpm } from './machine/vtpm-process.ts'
import type { OwnProcess } from './own-process.ts'
import { hostBootId, killProcess } from './process-identity.ts'
import type { TeeArguments } from './qemu-arguments.ts'
import { connectQmp, spawnQemu } from './qemu-launch.ts'
import { RunningVm } from './running-vm.ts'
import { lowering, type Lowering } from './unprivileged.ts'
import { writeError, makeDirectories, removeDirectories, STATE_FILES } from './vm-files.ts'
import type { VmHost } from './vm-host.ts'
import { checkSpec } from './vm-spec-check.ts'
import type { Vm, VmSpec, VmState } from './vm-spec.ts'

/** A guest gets more scratch space than is free, as other sparse files do, but not on a disk that is nearly full. */
const LEAST_FREE_BYTES = 512 << 20

/**
 * Starts a VM and lets its guest run. Resolves before the guest's first stage.
 * @param signal - gives up and clears everything, until the guest runs
 * @throws the signal's reason, or CloisterError `vm.*`, `tee.*`, `qemu.*`, `host.port-taken`, `host.disk-full`, `simulator.*`
 */
export async function startVm(spec: VmSpec, host: VmHost, signal?: AbortSignal): Promise<Vm> {
  checkSpec(spec)
  const driver = driverOf(spec.tee)
  const tee = await driver.arguments(spec, host)
  await checkPorts(spec.ports)
  signal?.throwIfAborted()
  await makeDirectories(spec)
  try {
    await writeStateFiles(spec)
    return await launch({ spec, host, driver, tee, signal })
  } catch (error) {
    // What failed first is what the caller must hear; leftovers are cleared at the next start of hostd.
    await removeDirectories(spec).catch(() => {})
    throw error
  }
}

async function writeStateFiles(spec: VmSpec): Promise<void> {
  const { stateDirectory, initdataDisk, scratchMiB, sevSession } = spec
  const write = async (
    name: keyof typeof STATE_FILES,
    content: Uint8Array | string,
    mode: number,
  ) => {
    const path = join(stateDirectory, STATE_FILES[name])
    await writeFile(path, content, { mode })
    // Whatever our umask.
    await chmod(path, mode)
  }
  try {
    if (initdataDisk !== undefined) await write('initdata', initdataDisk, 0o600)
    if (sevSession !== undefined) {
      // QEMU opens these again, under its own uid; the directory is closed to everybody else.
      await write('sevCertificate', sevSession.certificate, 0o644)
      await write('sevSession', sevSession.session, 0o644)
    }
    if (spec.machine !== undefined) await write('memory', '', 0o600)
    if (scratchMiB > 0) await makeScratch(stateDirectory, scratchMiB * 2 ** 20)
  } catch (error) {
    throw writeError(error, stateDirectory)
  }
}

async function makeScratch(stateDirectory: string, sizeBytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(stateDirectory)
  if (bavail * bsize < Math.min(sizeBytes, LEAST_FREE_BYTES))
    throw new CloisterError('host.disk-full', { where: stateDirectory })
  await using handle = await open(join(stateDirectory, STATE_FILES.scratch), 'wx', 0o600)
  await handle.truncate(sizeBytes)
}

interface Launch {
  readonly spec: VmSpec
  readonly host: VmHost
  readonly driver: TeeDriver
  readonly tee: TeeArguments
  readonly signal: AbortSignal | undefined
}

async function launch(plan: Launch): Promise<Vm> {
  const { spec, host, driver, tee, signal } = plan
  const devices = host.accelerator === 'kvm' ? ['/dev/kvm', ...driver.devices] : driver.devices
  const lowered = lowering(spec.id, {
    devices,
    pinsMemory: driver.pinsMemory,
    hostPorts: spec.ports.map(({ host: port }) => port),
  })
  // Its code and keys load while QEMU starts.
  const simulator = tee.hasTeePort ? host.openSimulator() : undefined
  simulator?.catch(() => {})
  await using undo = new AsyncDisposableStack()
  const vtpm = await prepareMachine(spec, lowered, undo)
  const process = await spawnQemu(spec, host, tee, lowered)
  undo.defer(() => end(process))
  const qmp = await connectQmp(spec, process, signal)
  undo.defer(() => qmp.close())
  // QEMU has made its sockets; from now on it has no right on the directory.
  if (lowered !== undefined) await chown(spec.runtimeDirectory, 0, 0)
  const state = await describe(spec, host, process, vtpm)
  await driver.launched?.(qmp, spec)
  const processor = simulator && (await (await simulator).launch(state, spec))
  if (processor !== undefined) undo.use(processor)
  signal?.throwIfAborted()
  const parts = { state, qmp, process, ...(vtpm && { vtpm }), ...(processor && { tee: processor }) }
  const vm = new RunningVm(parts)
  await qmp.execute('cont')
  undo.move()
  return vm
}

/** What QEMU finds when it starts: the swtpm to connect to, and its network card. */
async function prepareMachine(
  spec: VmSpec,
  lowered: Lowering | undefined,
  undo: AsyncDisposableStack,
): Promise<OwnProcess | undefined> {
  const { machine, runtimeDirectory } = spec
  if (machine === undefined) return undefined
  if (lowered !== undefined)
    await chown(join(spec.stateDirectory, STATE_FILES.memory), lowered.uid, lowered.uid)
  if (machine.network.kind === 'bridge') {
    const name = tapName(runtimeDirectory)
    // One that stays is replaced at the next start.
    undo.defer(() => removeTap(name).catch(() => {}))
    await makeTap(name, machine.network.bridge, lowered?.uid)
  }
  if (machine.vtpm === undefined) return undefined
  const vtpm = await startVtpm({
    id: spec.id,
    runtimeDirectory,
    files: machine.vtpm,
    qemu: lowered,
  })
  undo.defer(() => end(vtpm))
  return vtpm
}

async function end({ identity, ended }: OwnProcess): Promise<void> {
  await killProcess(identity)
  await ended
}

async function describe(
  spec: VmSpec,
  host: VmHost,
  process: OwnProcess,
  vtpm: OwnProcess | undefined,
): Promise<VmState> {
  return {
    version: 1,
    id: spec.id,
    process: process.identity,
    bootId: await hostBootId(),
    tee: spec.tee,
    mode: spec.mode,
    accelerator: host.accelerator,
    runtimeDirectory: spec.runtimeDirectory,
    stateDirectory: spec.stateDirectory,
    startedAt: new Date().toISOString(),
    ...(vtpm && { vtpm: vtpm.identity }),
    ...(spec.machine && { hasMemoryDump: true }),
  }
}
