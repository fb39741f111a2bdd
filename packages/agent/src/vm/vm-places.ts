/** Where the agent of a VM finds and leaves things: the system disk, and the order by which the initrd goes on. */
import { access, mkdir, readlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { CloisterError } from '@cloister/protocol/error'
import { MACHINE_DISKS } from '@cloister/protocol/guest-names'
import { requireDevice, type DeviceNames } from '../guest/named-devices.ts'
import { runProgram } from '../guest/program.ts'
import { OPENED_DISK, openSealedDisk } from './sealed-disk.ts'
import type { HandOver, VmMachine } from './vm-agent.ts'

const RUN = '/run/cloister'
/** The initrd's pipe, one line. */
const ORDER = join(RUN, 'handover')
/** The initrd copies these into the VM's /run. */
const UNITS = join(RUN, 'units')
const CLOUD_CONFIG = join(RUN, 'cloud.cfg')
const POLL_MS = 50
/** Longer than any mount takes; a VM that does not come up ends. */
const TAKE_OVER_MS = 120_000
/** The shell of the initrd, as long as it is the first process. */
const INITRD_PROCESS = '/bin/busybox'

export function vmPlaces(
  disks: DeviceNames,
): Pick<VmMachine, 'openSealed' | 'partition' | 'handOver'> {
  return {
    async openSealed(disk, secrets, onInstall) {
      const device = requireDevice(disks, MACHINE_DISKS.system)
      await openSealedDisk({
        device,
        disk,
        secrets,
        run: runProgram,
        runDirectory: join(RUN, 'disk'),
        onInstall,
      })
      return OPENED_DISK
    },
    async partition(number) {
      const device = `${requireDevice(disks, MACHINE_DISKS.system)}${number}`
      try {
        await access(device)
      } catch (cause) {
        throw new CloisterError('agent.disk-missing', { where: `partition ${number}`, cause })
      }
      return device
    },
    async handOver(order) {
      await writeOrder(order)
      await untilTaken()
    },
  }
}

async function writeOrder(order: HandOver): Promise<void> {
  const { device, fileSystem, options, init, units, cloudConfig } = order
  await mkdir(UNITS, { recursive: true })
  for (const { file, content } of units)
    await writeFile(join(UNITS, file), content, { mode: 0o644 })
  if (cloudConfig !== undefined) await writeFile(CLOUD_CONFIG, cloudConfig, { mode: 0o600 })
  const cloud = cloudConfig === undefined ? '-' : 'cloud-init'
  await writeFile(ORDER, `${[device, fileSystem, options, init, cloud].join(' ')}\n`)
}

async function untilTaken(): Promise<void> {
  const deadline = performance.now() + TAKE_OVER_MS
  while ((await readlink('/proc/1/exe').catch(() => '')) === INITRD_PROCESS) {
    if (performance.now() > deadline)
      throw new CloisterError('agent.disk-failed', { why: 'its system did not take over' })
    await sleep(POLL_MS)
  }
}
