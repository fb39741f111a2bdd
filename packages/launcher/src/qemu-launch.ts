/** Starts a guest's QEMU, which then stands still, and connects to it. */
import { chown } from 'node:fs/promises'
import { join } from 'node:path'
import { CloisterError } from '@cloister/protocol/error'
import { isFirmwareBoot } from './boot-files.ts'
import { isSingleThreaded } from './drivers/processor.ts'
import { launchFiles } from './launch-files.ts'
import type { MachineDevices } from './machine/devices.ts'
import { tapName } from './machine/tap.ts'
import { startOwn, type OwnProcess } from './own-process.ts'
import { qemuArguments, type TeeArguments } from './qemu-arguments.ts'
import { QmpClient } from './qmp.ts'
import type { Lowering } from './unprivileged.ts'
import { SOCKETS } from './vm-files.ts'
import type { VmHost } from './vm-host.ts'
import type { VmSpec } from './vm-spec.ts'

/** From the spawn to the greeting of QMP; half a second on an idle host. */
const START_TIMEOUT_MS = 30_000
const CONNECT_PAUSE_MS = 10
/** A QEMU that has made its socket greets in milliseconds. */
const GREETING_TIMEOUT_MS = 5_000

/** @throws CloisterError as `startOwn`, with `qemu.missing` and `qemu.start-failed` */
export async function spawnQemu(
  spec: VmSpec,
  host: VmHost,
  tee: TeeArguments,
  lowered: Lowering | undefined,
): Promise<OwnProcess> {
  const { runtimeDirectory: directory } = spec
  if (lowered !== undefined) await chown(directory, lowered.uid, lowered.uid)
  const files = launchFiles(spec, tee)
  const machine = machineDevices(spec)
  const { machine: _, ...rest } = spec
  const hardware = {
    ...rest,
    accelerator: host.accelerator,
    isSingleThreaded: isSingleThreaded(spec, host),
    debugSerial: spec.mode === 'debug' && machine?.hasConsole !== true,
    ...(machine && { machine }),
  }
  return startOwn({
    program: host.qemu.program,
    lowering: lowered,
    directory,
    files,
    arguments: (numbers) => {
      const named = files.flatMap(({ name }, index) =>
        name === undefined ? [] : [[name, numbers[index]] as const],
      )
      return qemuArguments(hardware, Object.fromEntries(named), tee)
    },
    errors: { missing: 'qemu.missing', failed: 'qemu.start-failed' },
  })
}

function machineDevices(spec: VmSpec): MachineDevices | undefined {
  const { boot, machine, tee, runtimeDirectory } = spec
  if (machine === undefined) return undefined
  const { network, vtpm, hasConsole, systemDisk } = machine
  const tap =
    network.kind === 'bridge' ? { name: tapName(runtimeDirectory), mac: network.mac } : undefined
  return {
    isPlain: tee === 'none',
    hasSecureBoot: isFirmwareBoot(boot) && boot.secureBoot,
    systemFormat: systemDisk.format,
    hasVtpm: vtpm !== undefined,
    hasConsole,
    ...(tap && { tap }),
  }
}

/** Tries until QEMU has made its socket, has ended, or time is up. @throws CloisterError `qemu.*`, `host.port-taken` */
export async function connectQmp(
  spec: VmSpec,
  process: OwnProcess,
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
  if (/failed to get "(?:write|consistent read|resize)" lock/i.test(said))
    return new CloisterError('disk.in-use', { received: said })
  if (/\/dev\/net\/tun/.test(said)) return new CloisterError('network.denied', { received: said })
  if (/tpm-emulator|tpm-crb/i.test(said))
    return new CloisterError('vtpm.start-failed', { received: said })
  return new CloisterError('qemu.start-failed', { received: said })
}
