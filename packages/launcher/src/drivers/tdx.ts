/** Intel TDX: QEMU's `tdx-guest` (10.1 and newer), booted by the IntelTdx build of OVMF. */
import { CloisterError } from '@cloister/protocol/error'
import { toBase64 } from '@cloister/verifier/bytes/base64'
import { toHex } from '@cloister/verifier/bytes/hex'
import { FormatError } from '@cloister/verifier/bytes/format-error'
import { OVMF_GUID, parseOvmf } from '@cloister/verifier/formats/ovmf'
import { bootFiles } from '../boot-files.ts'
import { QGS_SOCKET, tdxLeaves } from '../probe/tdx-leaves.ts'
import type { VmSpec } from '../vm-spec.ts'
import type { TeeDriver } from './driver.ts'
import { readFirmware } from './measured-files.ts'
import { requireHost } from './require-host.ts'

const MRCONFIGID_BYTES = 48

export const tdx: TeeDriver = {
  id: 'tdx',
  title: 'Intel TDX',
  isHardware: true,
  devices: [],
  pinsMemory: false,
  probe: tdxLeaves,
  async arguments(spec, host) {
    if (spec.guestPolicy !== undefined || spec.idBlock !== undefined)
      throw new CloisterError('vm.spec-invalid', { where: 'guestPolicy, idBlock: not for tdx' })
    await requireHost(tdx, host)
    requireTdxFirmware(await readFirmware(bootFiles(spec).firmware))
    // As JSON, for a socket address has members of its own.
    const guest = JSON.stringify({
      'qom-type': 'tdx-guest',
      id: 'tdx0',
      // Linux guests cannot handle the exception that this turns off.
      'sept-ve-disable': true,
      mrconfigid: toBase64(mrConfigId(spec)),
      'quote-generation-socket': { type: 'unix', path: QGS_SOCKET },
    })
    return {
      board: 'q35',
      // The TDX module decides what the guest sees; named models are refused.
      cpu: 'host',
      machine: ['kernel-irqchip=split', 'confidential-guest-support=tdx0', 'memory-backend=ram0'],
      objects: () => [`memory-backend-memfd,id=ram0,size=${spec.memoryMiB}M,share=on`, guest],
      firmware: 'bios',
      hasTeePort: false,
    }
  },
  // MRTD and the RTMRs of direct boot need the verifier's TDX measurement.
  predict: (spec) => Promise.resolve({ mrConfigId: toHex(mrConfigId(spec)) }),
}

/** The initdata digest, padded with zeros to the field, as CoCo's initdata specification has it. */
function mrConfigId({ hostData }: VmSpec): Uint8Array {
  const field = new Uint8Array(MRCONFIGID_BYTES)
  field.set(hostData)
  return field
}

function requireTdxFirmware(firmware: Uint8Array): void {
  try {
    if (parseOvmf(firmware).table.has(OVMF_GUID.tdxMetadata)) return
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    throw new CloisterError('tee.firmware-unfit', { received: error.message, cause: error })
  }
  throw new CloisterError('tee.firmware-unfit', { received: 'no TDX metadata' })
}
