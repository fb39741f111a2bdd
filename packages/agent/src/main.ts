/**
 * The agent's program: finds the machine's devices, checks the initdata against the hardware, and runs the guest. Whatever fails ends the
 * VM: the supervisor powers off when this process ends.
 */
import { open, readFile } from 'node:fs/promises'
import { CloisterError } from '@cloister/protocol/error'
import { GUEST_DISKS, GUEST_PORTS, GUEST_PROGRAMS } from '@cloister/protocol/guest-names'
import { INITDATA_DISK_BYTES } from '@cloister/protocol/initdata'
import { attesterFor, kernelHasTee } from './attesters/table.ts'
import { runAgent } from './agent.ts'
import { crunRuntime } from './container/runtime.ts'
import { systemClock } from './guest/clock.ts'
import { readGuestImage } from './guest/guest-image.ts'
import { attesterMode } from './guest/kernel-command-line.ts'
import { findDisks, findPorts, requireDevice } from './guest/named-devices.ts'
import { openPort } from './guest/port.ts'
import { runProgram } from './guest/program.ts'
import { openStagePort, type StagePort } from './guest/stage-port.ts'
import { pullWorkloadImage } from './image/pull.ts'
import { bindInitdata } from './initdata-binding.ts'
import { makeScratch } from './scratch/scratch.ts'
import { watchScratch } from './scratch/watch.ts'
import type { Log } from './service/dispatch.ts'

const SCRATCH = '/var/lib/cloister'
const RUN = '/run/cloister'
const UNPACK_WORKER = new URL(GUEST_PROGRAMS.unpackWorker, import.meta.url)

async function boot(stage: StagePort, ports: Awaited<ReturnType<typeof findPorts>>): Promise<void> {
  const mode = attesterMode(await readFile('/proc/cmdline', 'latin1'))
  // Only a debug image has a console; elsewhere the words would go nowhere, and must.
  const log: Log = (message) => {
    if (mode === 'debug') console.error(typeof message === 'string' ? message : message())
  }
  const disks = await findDisks()
  const scratchDisk = disks.devices.get(GUEST_DISKS.scratch)
  // At once, for it takes longest: it holds nothing before the initdata was checked.
  const scratch = makeScratch({
    mountPoint: SCRATCH,
    run: runProgram,
    ...(scratchDisk !== undefined && { device: scratchDisk }),
  })
  scratch.catch(() => undefined)
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

  const tampered = scratchDisk === undefined ? new Promise<never>(() => undefined) : watchScratch()
  await Promise.race([
    tampered,
    runAgent(
      {
        agentPort: openPort(requireDevice(ports, GUEST_PORTS.agent)),
        netPort: openPort(requireDevice(ports, GUEST_PORTS.net)),
        attester,
        runtime: crunRuntime({ run: runProgram, directory: `${RUN}/crun` }),
        clock: systemClock(runProgram),
        pullImage: (options) => pullWorkloadImage({ ...options, unpackWorker: UNPACK_WORKER }),
        scratch,
        scratchDirectory: SCRATCH,
        runDirectory: RUN,
        epoch: guestImage.epoch,
        onStage: (name) => stage.reached(name),
        log,
      },
      bound,
    ),
  ])
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
