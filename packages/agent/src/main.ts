/**
 * The agent's program: finds the devices and runs the guest. Whatever fails ends the VM: the supervisor powers off when this
 * process ends. In guest images it is a snapshot: its modules are loaded when the image is built, and a guest begins in {@link main}.
 */
import { readFileSync } from 'node:fs'
import { startupSnapshot } from 'node:v8'
import { CloisterError } from '@cloister/protocol/error'
import { GUEST_PORTS } from '@cloister/protocol/guest-names'
import { boot } from './boot.ts'
import { guestKind } from './guest/kernel-command-line.ts'
import { findDisks, findPorts, requireDevice, type DeviceNames } from './guest/named-devices.ts'
import { openStagePort, type StagePort } from './guest/stage-port.ts'
import { rehearse } from './rehearsal.ts'

async function main(): Promise<void> {
  const ports = findPorts()
  const stage = openStagePort(requireDevice(ports, GUEST_PORTS.stage))
  process.once('uncaughtException', (error) => void endByBug(error, stage))
  stage.reached('agent')
  try {
    await start(stage, ports)
  } catch (error) {
    console.error(error)
    await stage.failed(CloisterError.from(error).code)
  }
  // Ports and the container would keep this process: the VM ends with it.
  process.exit(0)
}

async function start(stage: StagePort, ports: DeviceNames): Promise<void> {
  const commandLine = readFileSync('/proc/cmdline', 'latin1')
  await boot({ commandLine, kind: guestKind(commandLine), stage, ports, disks: findDisks() })
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
