/** Starts a VM: checks, files, QEMU standing still, the TEE's launch, then the guest. Whatever fails, nothing is left behind. */
import { chown, open, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CloisterError } from '@cloister/protocol/error'
import { bootFiles } from './boot-files.ts'
import type { TeeDriver } from './drivers/driver.ts'
import { driverOf } from './drivers/table.ts'
import { checkPorts } from './host-ports.ts'
import { hostBootId, killProcess } from './process-identity.ts'
import { qemuArguments, type InheritedFile, type TeeArguments } from './qemu-arguments.ts'
import { startQemu, type QemuProcess } from './qemu-process.ts'
import { QmpClient } from './qmp.ts'
import { RunningVm } from './running-vm.ts'
import { lowering, type Lowering } from './unprivileged.ts'
import { writeError, makeDirectories, removeDirectories, SOCKETS, STATE_FILES } from './vm-files.ts'
import type { VmHost } from './vm-host.ts'
import { checkSpec } from './vm-spec-check.ts'
import type { Vm, VmSpec, VmState } from './vm-spec.ts'

/** From the spawn to the greeting of QMP; half a second on an idle host. */
const START_TIMEOUT_MS = 30_000
const CONNECT_PAUSE_MS = 10
/** A QEMU that has made its socket greets in milliseconds. */
const GREETING_TIMEOUT_MS = 5_000
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
  const write = (name: keyof typeof STATE_FILES, content: Uint8Array | string, mode: number) =>
    writeFile(join(stateDirectory, STATE_FILES[name]), content, { mode })
  try {
    if (initdataDisk !== undefined) await write('initdata', initdataDisk, 0o600)
    if (sevSession !== undefined) {
      // QEMU opens these again, under its own uid; the directory is closed to everybody else.
      await write('sevCertificate', sevSession.certificate, 0o644)
      await write('sevSession', sevSession.session, 0o644)
    }
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

async function launch({ spec, host, driver, tee, signal }: Launch): Promise<Vm> {
  const devices = host.accelerator === 'kvm' ? ['/dev/kvm', ...driver.devices] : driver.devices
  const lowered = lowering(spec.id, {
    devices,
    pinsMemory: driver.pinsMemory,
    hostPorts: spec.ports.map(({ host: port }) => port),
  })
  // Its code and keys load while QEMU starts.
  const simulator = tee.hasTeePort ? host.openSimulator() : undefined
  simulator?.catch(() => {})
  const process = await start(spec, host, tee, lowered)
  let qmp: QmpClient | undefined
  let processor: AsyncDisposable | undefined
  try {
    qmp = await connectQmp(spec, process, signal)
    // QEMU has made its sockets; from now on it has no right on the directory.
    if (lowered !== undefined) await chown(spec.runtimeDirectory, 0, 0)
    const state = await describe(spec, host, process)
    await driver.launched?.(qmp, spec)
    if (simulator !== undefined) processor = await (await simulator).launch(state, spec)
    const vm = new RunningVm({ state, qmp, process, ...(processor && { tee: processor }) })
    signal?.throwIfAborted()
    await qmp.execute('cont')
    return vm
  } catch (error) {
    qmp?.close()
    await killProcess(process.identity)
    await process.ended
    await processor?.[Symbol.asyncDispose]()
    throw error
  }
}

async function start(
  spec: VmSpec,
  host: VmHost,
  tee: TeeArguments,
  lowered: Lowering | undefined,
): Promise<QemuProcess> {
  const { stateDirectory, runtimeDirectory: directory } = spec
  const boot = bootFiles(spec)
  if (lowered !== undefined) await chown(directory, lowered.uid, lowered.uid)
  const state = (name: keyof typeof STATE_FILES) => join(stateDirectory, STATE_FILES[name])
  const files: (InheritedFile & { readonly name: string })[] = []
  const addDisk = (name: string, path: string, writable = false) =>
    files.push({ name, path, writable, isReopened: false })
  const addReopened = (name: string, path: string) =>
    files.push({ name, path, writable: false, isReopened: true })
  addReopened('kernel', boot.kernel)
  addReopened('initrd', boot.initrd)
  if (tee.firmware !== 'none' && boot.firmware !== undefined) addReopened('firmware', boot.firmware)
  if (spec.sevSession !== undefined) {
    addReopened('sevCertificate', state('sevCertificate'))
    addReopened('sevSession', state('sevSession'))
  }
  if (boot.root !== undefined) addDisk('root', boot.root)
  if (spec.initdataDisk !== undefined) addDisk('initdata', state('initdata'))
  if (spec.scratchMiB > 0) addDisk('scratch', state('scratch'), true)
  const hardware = {
    ...spec,
    accelerator: host.accelerator,
    debugSerial: spec.mode === 'debug',
  }
  return startQemu({
    program: host.qemu.program,
    lowering: lowered,
    directory,
    files,
    arguments: (numbers) => {
      const descriptors = Object.fromEntries(files.map(({ name }, index) => [name, numbers[index]]))
      return qemuArguments(hardware, descriptors as never, tee)
    },
  })
}

/** Tries until QEMU has made its socket, has ended, or time is up. */
async function connectQmp(
  spec: VmSpec,
  process: QemuProcess,
  signal: AbortSignal | undefined,
): Promise<QmpClient> {
  const path = join(spec.runtimeDirectory, SOCKETS.qmp)
  const deadline = performance.now() + START_TIMEOUT_MS
  let hasEnded = false
  void process.ended.then(() => (hasEnded = true))
  for (;;) {
    signal?.throwIfAborted()
    try {
      return await QmpClient.connect(path, GREETING_TIMEOUT_MS)
    } catch (error) {
      if (hasEnded) throw startFailure(process.said())
      const isLate = performance.now() > deadline
      if (isLate || (error as CloisterError).code !== 'qemu.unresponsive') throw error
    }
    await new Promise((resolve) => setTimeout(resolve, CONNECT_PAUSE_MS))
  }
}

/** A port may be taken between our check and QEMU's use. */
function startFailure(said: string): CloisterError {
  if (/could not set up host forwarding rule/i.test(said))
    return new CloisterError('host.port-taken', { received: said })
  return new CloisterError('qemu.start-failed', { received: said })
}

async function describe(spec: VmSpec, host: VmHost, process: QemuProcess): Promise<VmState> {
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
  }
}
