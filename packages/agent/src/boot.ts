/** What the guest does once its devices are found: checks the initdata against the hardware, then runs the agent. */
import { closeSync, openSync, readSync } from 'node:fs'
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
import { attesterFor, kernelHasTee, reportsFrom } from './attesters/table.ts'
import { loadHttp } from './broker/http-exchange.ts'
import { pinnedContext } from './broker/pinned-tls.ts'
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
import { makeScratch, SCRATCH } from './scratch/scratch.ts'
import { watchScratch } from './scratch/watch.ts'
import type { Log } from './service/dispatch.ts'

const RUN = '/run/cloister'
const UNPACK_WORKER = `/${GUEST_PROGRAMS.directory}/${GUEST_PROGRAMS.unpackWorker}`
const SCRATCH_TEMPLATE = `/${GUEST_PROGRAMS.directory}/${GUEST_PROGRAMS.scratchTemplate}`
/** systemd ends no process of root whose name begins so (systemd.io, "Storage daemons for the root file system"). */
const VM_PROCESS_NAME = '@cloister-agent'

export interface BootOptions {
  readonly commandLine: string
  readonly kind: ReturnType<typeof guestKind>
  readonly stage: StagePort
  readonly ports: DeviceNames
  readonly disks: DeviceNames
}

/** @throws CloisterError what ended the guest */
export async function boot(options: BootOptions): Promise<void> {
  const { commandLine, kind, stage, ports, disks } = options
  const mode = attesterMode(commandLine)
  // Only a debug image has a console; elsewhere the words would go nowhere, and must.
  const log: Log = (message) => {
    if (mode === 'debug') console.error(typeof message === 'string' ? message : message())
  }
  const from = reportsFrom(mode, kernelHasTee())
  const scratch = kind === 'container' ? startScratch(disks) : undefined
  const port = (name: string) => openPort(requireDevice(ports, name))
  const attester = await attesterFor(from, { teePort: () => port(GUEST_PORTS.tee) })
  const disk = readStart(requireDevice(disks, GUEST_DISKS.initdata), INITDATA_DISK_BYTES)
  const binding = bindInitdata(disk, attester)
  binding.catch(() => undefined)
  // While the report is on its way.
  setImmediate(() => [pinnedContext(), loadHttp()])
  const guestImage = readGuestImage()
  const bound = await binding
  stage.reached('initdata')

  const parts = {
    agentPort: port(GUEST_PORTS.agent),
    netPort: port(GUEST_PORTS.net),
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

/** The place of a container's files, begun at once: scratch space takes long to make, and holds nothing before the initdata was checked. */
function startScratch(disks: DeviceNames) {
  const device = disks.devices.get(GUEST_DISKS.scratch)
  const mounted = makeScratch({
    mountPoint: SCRATCH,
    template: SCRATCH_TEMPLATE,
    run: runProgram,
    ...(device !== undefined && { device }),
  })
  const tampered = device === undefined ? new Promise<never>(() => undefined) : watchScratch()
  // Whoever waits for one takes it; before that nobody does.
  for (const promise of [mounted, tampered]) promise.catch(() => undefined)
  return { mounted, tampered }
}

/** The first bytes of a disk, as many as there are up to `limit`. */
function readStart(device: string, limit: number): Uint8Array {
  const disk = openSync(device, 'r')
  try {
    const bytes = Buffer.alloc(limit)
    let filled = 0
    while (filled < limit) {
      const read = readSync(disk, bytes, filled, limit - filled, filled)
      if (read === 0) break
      filled += read
    }
    return bytes.subarray(0, filled)
  } finally {
    closeSync(disk)
  }
}
