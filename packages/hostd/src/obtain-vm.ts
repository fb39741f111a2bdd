/** The VM of a workload: a new one, or the one that a hostd before this one started. */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Vm, VmSpec, VmState } from '@cloister/launcher/vm-spec'
import type { GuestImage } from '@cloister/image/images'
import { CloisterError } from '@cloister/protocol/error'
import type { AttesterMode } from '@cloister/protocol/guest-names'
import { encodeInitdataDisk, initdataDigest } from '@cloister/protocol/initdata'
import type { Backend, VmFolders } from './backend.ts'
import { guestPlace } from './guest-place.ts'
import type { WorkloadRecord } from './record.ts'

const ADOPT_ATTEMPTS = 3
const ADOPT_PAUSE_MS = 500

export async function startNewVm(
  backend: Backend,
  folders: VmFolders,
  record: WorkloadRecord,
  initdata: Uint8Array,
): Promise<Vm> {
  const image = await backend.loadGuestImage(record.request.guestImage)
  return backend.startVm(vmSpec(record, initdata, image, folders), image)
}

/**
 * Takes over a running VM; one that does not answer is ended.
 *
 * @throws CloisterError `guest.died` when it is gone, else why it could not be taken over
 */
export async function adoptVm(backend: Backend, state: VmState): Promise<Vm> {
  for (let attempt = 1; ; attempt++) {
    try {
      const vm = await backend.adoptVm(state)
      if (vm !== undefined) return vm
      break
    } catch (error) {
      if (attempt < ADOPT_ATTEMPTS) {
        await sleep(ADOPT_PAUSE_MS)
        continue
      }
      await backend.discardVm(state)
      throw error
    }
  }
  throw new CloisterError('guest.died', {
    where: guestPlace(state.lastStage),
    why: 'it ended while hostd did not run',
  })
}

function vmSpec(
  { request, view }: WorkloadRecord,
  initdata: Uint8Array,
  image: GuestImage,
  folders: VmFolders,
): VmSpec {
  const mode = attesterMode(request)
  const { kernel, initrd, root, snpFirmware } = image.paths
  return {
    id: view.id,
    runtimeDirectory: join(folders.runtime, view.id),
    stateDirectory: join(folders.state, view.id),
    tee: request.tee,
    mode,
    boot: { kernel, initrd, root, ...(snpFirmware !== undefined && { firmware: snpFirmware }) },
    commandLine: image.manifest.commandLines[mode],
    cpus: request.cpus,
    memoryMiB: request.memoryMiB,
    scratchMiB: request.scratchMiB,
    hostData: initdataDigest(initdata),
    initdataDisk: encodeInitdataDisk(initdata),
    ports: request.ports.map(({ address, host, guest }) => ({ hostAddress: address, host, guest })),
    vcpuType: request.vcpuType,
  }
}

function attesterMode({ tee, debug }: WorkloadRecord['request']): AttesterMode {
  if (debug) return 'debug'
  return tee === 'simulated' ? 'simulated' : 'hardware'
}
