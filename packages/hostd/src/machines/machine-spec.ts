/** What the launcher is asked to start for a machine. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { GuestImage } from '@cloister/image/images'
import type { BootFiles, MachineHardware, VmSpec } from '@cloister/launcher/vm-spec'
import type { AttesterMode } from '@cloister/protocol/guest-names'
import { encodeInitdataDisk, initdataDigest } from '@cloister/protocol/initdata'
import type { VmView } from '@cloister/protocol/hostd-vm-api'
import type { Backend, VmFolders } from '../backend.ts'
import { machineFiles } from './machine-record.ts'

/** The spec, and the boot bundle of a measured boot. */
export interface MachineStart {
  readonly spec: VmSpec
  readonly image?: GuestImage
}

/** @throws CloisterError `guest-image.*`, `firmware.missing` */
export async function machineStart(
  backend: Backend,
  folders: VmFolders,
  view: VmView,
  folder: string,
): Promise<MachineStart> {
  const files = machineFiles(folder)
  const common = {
    id: view.id,
    runtimeDirectory: join(folders.runtime, view.id),
    stateDirectory: join(folders.state, view.id),
    tee: view.tee,
    cpus: view.cpus,
    memoryMiB: view.memoryMiB,
    scratchMiB: 0,
    ports: view.ports.map(({ address, host, guest }) => ({ hostAddress: address, host, guest })),
    machine: hardware(view, files),
  }
  if (view.boot === 'direct') return { spec: await directSpec(common, files) }
  if (view.guestImage === undefined) {
    const code = await backend.machines.firmwareCode(view.secureBoot)
    const { variables } = files
    const spec: VmSpec = {
      ...common,
      mode: 'hardware',
      boot: { code, variables, secureBoot: view.secureBoot },
      commandLine: '',
      // Nobody reads it without a launch measurement.
      hostData: new Uint8Array(32),
    }
    return { spec }
  }
  const image = await backend.loadGuestImage(view.guestImage.name)
  const initdata = await readFile(files.initdata)
  const mode: AttesterMode = view.tee === 'simulated' ? 'simulated' : 'hardware'
  const spec: VmSpec = {
    ...common,
    mode,
    boot: bootFilesOf(image, view.tee),
    commandLine: image.manifest.commandLines[mode],
    hostData: initdataDigest(initdata),
    initdataDisk: encodeInitdataDisk(initdata),
    ...(view.vcpuType !== undefined && { vcpuType: view.vcpuType }),
  }
  return { spec, image }
}

/** What SEV measures of it, its owner has: hostd's copies may be anything. */
async function directSpec(
  common: Omit<VmSpec, 'mode' | 'boot' | 'commandLine' | 'hostData'>,
  { direct }: ReturnType<typeof machineFiles>,
): Promise<VmSpec> {
  const { commandLine, ...boot } = direct
  return {
    ...common,
    mode: 'hardware',
    boot,
    commandLine: await readFile(commandLine, 'utf8'),
    // SEV has no such field.
    hostData: new Uint8Array(32),
  }
}

/** Of TDX, its own firmware and the unified kernel. */
function bootFilesOf({ paths }: GuestImage, tee: VmView['tee']): BootFiles {
  const { kernel, initrd, root, snpFirmware, tdxFirmware, unifiedKernel } = paths
  const firmware = tee === 'tdx' ? tdxFirmware : snpFirmware
  return {
    kernel,
    initrd,
    root,
    ...(firmware !== undefined && { firmware }),
    ...(tee === 'tdx' && unifiedKernel !== undefined && { unifiedKernel }),
  }
}

function hardware(view: VmView, files: ReturnType<typeof machineFiles>): MachineHardware {
  return {
    systemDisk: { path: files.disk, format: 'qcow2' },
    ...(view.hasSeed && { seedDisk: { path: files.seed } }),
    ...(view.vtpm && { vtpm: files.vtpm }),
    network:
      view.network.kind === 'user'
        ? { kind: 'user' }
        : { kind: 'bridge', bridge: view.network.bridge, mac: view.mac },
    hasConsole: true,
  }
}

/**
 * The address of a machine's network card, the same over its life: locally administered, unicast.
 *
 * @param id - of the machine
 */
export function macOf(id: string): string {
  const digest = createHash('sha256').update(`mac ${id}`).digest()
  return [
    '52',
    '54',
    '00',
    ...[...digest.subarray(0, 3)].map((byte) => byte.toString(16).padStart(2, '0')),
  ].join(':')
}
