/**
 * The agent's program: starts making scratch space, and runs the guest. Whatever fails ends the VM: the supervisor powers off when this
 * process ends. In guest images it is a snapshot: its modules are loaded when the image is built, and a guest begins in {@link main}.
 */
import { readFile } from 'node:fs/promises'
import { startupSnapshot } from 'node:v8'
import { CloisterError } from '@cloister/protocol/error'
import { GUEST_DISKS, GUEST_PORTS } from '@cloister/protocol/guest-names'
import { boot } from './boot.ts'
import { guestKind } from './guest/kernel-command-line.ts'
import { findDisks, findPorts, requireDevice, type DeviceNames } from './guest/named-devices.ts'
import { runProgram } from './guest/program.ts'
import { openStagePort, type StagePort } from './guest/stage-port.ts'
import { rehearse } from './rehearsal.ts'
import { makeScratch, SCRATCH } from './scratch/scratch.ts'
import { watchScratch } from './scratch/watch.ts'

async function main(): Promise<void> {
  const ports = await findPorts()
  const stage = openStagePort(requireDevice(ports, GUEST_PORTS.stage))
  process.once('uncaughtException', (error) => void endByBug(error, stage))
  stage.reached('agent')
  try {
    await start(stage, ports)
  } catch (error) {
    console.error(error)
    await stage.failed(CloisterError.from(error).code)
  }
  // Relays and the container are children that would keep this process: the VM ends with it.
  process.exit(0)
}

async function start(stage: StagePort, ports: DeviceNames): Promise<void> {
  const commandLine = await readFile('/proc/cmdline', 'latin1')
  const kind = guestKind(commandLine)
  const disks = await findDisks()
  // At once, for it takes long and others do it: it holds nothing before the initdata was checked.
  const scratch = kind === 'container' ? startScratch(disks) : undefined
  await boot({ commandLine, kind, stage, ports, disks, scratch })
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

async function endByBug(error: Error, stage: StagePort): Promise<void> {
  console.error(error)
  await stage.failed('internal.bug')
  process.exit(1)
}

if (startupSnapshot.isBuildingSnapshot()) {
  startupSnapshot.setDeserializeMainFunction(() => void main())
  void rehearse()
} else void main()
