/** The launcher's description of the VM that a workload asks for. */
import type { VmSpec } from '@cloister/launcher/vm-spec'
import type { AttesterMode } from '@cloister/protocol/guest-names'
import { encodeInitdataDisk, initdataDigest } from '@cloister/protocol/initdata'
import type { GuestImage } from '@cloister/image/images'
import type { WorkloadRecord } from './record.ts'

export function vmSpec(
  { request, view }: WorkloadRecord,
  initdata: Uint8Array,
  image: Pick<GuestImage, 'manifest' | 'paths'>,
  directories: Pick<VmSpec, 'runtimeDirectory' | 'stateDirectory'>,
): VmSpec {
  const mode = attesterMode(request)
  const { kernel, initrd, root, snpFirmware } = image.paths
  return {
    id: view.id,
    ...directories,
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
