/**
 * The agent's program: finds the machine's devices, checks the initdata against the hardware, and runs the guest. Whatever fails ends the
 * VM: the supervisor powers off when this process ends.
 */
import { open, readFile } from 'node:fs/promises'
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
import { attesterMode, guestKind } from './guest/kernel-command-line.ts'
import { findDisks, findPorts, requireDevice, type DeviceNames } from './guest/named-devices.ts'
import { openPort } from './guest/port.ts'
import { runProgram } from './guest/program.ts'
import { openStagePort, type StagePort } from './guest/stage-port.ts'
import { pullWorkloadImage, type PullOptions } from './image/pull.ts'
import { bindInitdata } from './initdata-binding.ts'
import { makeScratch } from './scratch/scratch.ts'
import { watchScratch } from './scratch/watch.ts'
import type { Log } from './service/dispatch.ts'
import { runVmAgent } from './vm/vm-agent.ts'
import { vmPlaces } from './vm/vm-places.ts'

const SCRATCH = '/var/lib/cloister'
const RUN = '/run/cloister'
const UNPACK_WORKER = new URL(GUEST_PROGRAMS.unpackWorker, import.meta.url)
/** systemd ends no process of root whose name begins so (systemd.io, "Storage daemons for the root file system"). */
const VM_PROCESS_NAME = '@cloister-agent'

async function boot(stage: StagePort, ports: Awaited<ReturnType<typeof findPorts>>): Promise<void> {
  const commandLine = await readFile('/proc/cmdline', 'latin1')
  const mode = attesterMode(commandLine)
  // Only a debug image has a console; elsewhere the words would go nowhere, and must.
  const log: Log = (message) => {
    if (mode === 'debug') console.error(typeof message === 'string' ? message : message())
  }
  const kind = guestKind(commandLine)
  const disks = await findDisks()
  // At once, for it takes longest: it holds nothing before the initdata was checked.
  const scratch = kind === 'container' ? startScratch(disks) : undefined
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
    await runVmAgent({ ...parts, ...vmPlaces(disks) }, { ...bound, workload })
  } else if (!isVmWorkload(workload) && scratch !== undefined) {
    const machine = {
      ...parts,
      runtime: crunRuntime({ run: runProgram, directory: `${RUN}/crun` }),
      pullImage: (options: PullOptions) =>
        pullWorkloadImage({ ...options, unpackWorker: UNPACK_WORKER }),
      scratch: scratch.mounted,
      scratchDirectory: SCRATCH,
      runDirectory: RUN,
    }
    await Promise.race([scratch.tampered, runAgent(machine, { ...bound, workload })])
  } else throw new CloisterError('agent.guest-kind', { expected: kind })
}

function startScratch(disks: DeviceNames) {
  const device = disks.devices.get(GUEST_DISKS.scratch)
  const mounted = makeScratch({
    mountPoint: SCRATCH,
    run: runProgram,
    ...(device !== undefined && { device }),
  })
  mounted.catch(() => undefined)
  const tampered = device === undefined ? new Promise<never>(() => undefined) : watchScratch()
  // Whoever waits for it takes it; before that nobody does.
  tampered.catch(() => undefined)
  return { mounted, tampered }
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

async function endByBug(error: Error): Promise<void> {
  console.error(error)
  await stage.failed('internal.bug')
  process.exit(1)
}

const ports = await findPorts()
const stage = openStagePort(requireDevice(ports, GUEST_PORTS.stage))
process.once('uncaughtException', (error) => void endByBug(error))
stage.reached('agent')
try {
  await boot(stage, ports)
} catch (error) {
  console.error(error)
  await stage.failed(CloisterError.from(error).code)
}
// Relays and the container are children that would keep this process: the VM ends with it.
process.exit(0)
