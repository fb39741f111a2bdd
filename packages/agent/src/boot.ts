/** What the guest does once its devices are found: checks the initdata against the hardware, then runs the agent. */
import { open } from 'node:fs/promises'
import { pathToFileURL } from 'node:url'
import { CloisterError } from '@cloister/protocol/error'
import {
  GUEST_DISKS,
  GUEST_PORTS,
  GUEST_PROGRAMS,
  type StageName,
} from '@cloister/protocol/guest-names'
import { INITDATA_DISK_BYTES } from '@cloister/protocol/initdata'
import { isVmWorkload } from '@cloister/protocol/vm-workload'
import { attesterFor, kernelHasTee } from './attesters/table.ts'
import { runAgent } from './agent.ts'
import { crunRuntime } from './container/runtime.ts'
import { systemClock } from './guest/clock.ts'
import { readGuestImage } from './guest/guest-image.ts'
import { attesterMode, type guestKind } from './guest/kernel-command-line.ts'
import { requireDevice, type DeviceNames } from './guest/named-devices.ts'
import { openPort } from './guest/port.ts'
import { runProgram } from './guest/program.ts'
import type { StagePort } from './guest/stage-port.ts'
import { pullWorkloadImage } from './image/pull-workload.ts'
import type { PullOptions } from './image/pull.ts'
import { bindInitdata } from './initdata-binding.ts'
import { SCRATCH } from './scratch/scratch.ts'
import type { Log } from './service/dispatch.ts'

const RUN = '/run/cloister'
const UNPACK_WORKER = `/${GUEST_PROGRAMS.directory}/${GUEST_PROGRAMS.unpackWorker}`
/** systemd ends no process of root whose name begins so (systemd.io, "Storage daemons for the root file system"). */
const VM_PROCESS_NAME = '@cloister-agent'

export interface BootOptions {
  readonly commandLine: string
  readonly kind: ReturnType<typeof guestKind>
  readonly stage: StagePort
  readonly ports: DeviceNames
  readonly disks: DeviceNames
  /** Absent in a VM. `mounted` settles when there is scratch space; `tampered` rejects when the host has changed it. */
  readonly scratch:
    | { readonly mounted: Promise<void>; readonly tampered: Promise<never> }
    | undefined
}

/** @throws CloisterError what ended the guest */
export async function boot(options: BootOptions): Promise<void> {
  const { commandLine, kind, stage, ports, disks, scratch } = options
  const mode = attesterMode(commandLine)
  // Only a debug image has a console; elsewhere the words would go nowhere, and must.
  const log: Log = (message) => {
    if (mode === 'debug') console.error(typeof message === 'string' ? message : message())
  }
  const guestImage = await readGuestImage()
  const attester = await attesterFor(mode, {
    hasTee: () => kernelHasTee(),
    openTeePort: async () => openPort(requireDevice(ports, GUEST_PORTS.tee)),
  })
  const bound = await bindInitdata(
    await readStart(requireDevice(disks, GUEST_DISKS.initdata), INITDATA_DISK_BYTES),
    attester,
  )
  stage.reached('initdata')

  const parts = {
    agentPort: openPort(requireDevice(ports, GUEST_PORTS.agent)),
    netPort: openPort(requireDevice(ports, GUEST_PORTS.net)),
    attester,
    clock: systemClock(runProgram),
    epoch: guestImage.epoch,
    onStage: (name: StageName) => stage.reached(name),
    log,
  }
  const { workload } = bound
  if (isVmWorkload(workload) && scratch === undefined) {
    process.title = VM_PROCESS_NAME
    const { runVmAgent } = await import('./vm/vm-agent.ts')
    const { vmPlaces } = await import('./vm/vm-places.ts')
    await runVmAgent({ ...parts, ...vmPlaces(disks) }, { ...bound, workload })
  } else if (!isVmWorkload(workload) && scratch !== undefined) {
    const machine = {
      ...parts,
      runtime: crunRuntime({ run: runProgram, directory: `${RUN}/crun` }),
      pullImage: (options: PullOptions) =>
        pullWorkloadImage({ ...options, unpackWorker: pathToFileURL(UNPACK_WORKER) }),
      scratch: scratch.mounted,
      scratchDirectory: SCRATCH,
      runDirectory: RUN,
    }
    await Promise.race([scratch.tampered, runAgent(machine, { ...bound, workload })])
  } else throw new CloisterError('agent.guest-kind', { expected: kind })
}

/** The first bytes of a disk, as many as there are up to `limit`. */
async function readStart(device: string, limit: number): Promise<Uint8Array> {
  await using disk = await open(device, 'r')
  const bytes = Buffer.alloc(limit)
  let filled = 0
  while (filled < limit) {
    const { bytesRead } = await disk.read(bytes, filled, limit - filled, filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return bytes.subarray(0, filled)
}
