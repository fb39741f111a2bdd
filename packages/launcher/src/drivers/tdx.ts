/** Intel TDX: QEMU's `tdx-guest` (10.1 and newer), booted by the IntelTdx build of OVMF. */
import { CloisterError } from '@cloister/protocol/error'
import { toBase64 } from '@cloister/verifier/bytes/base64'
import { toHex } from '@cloister/verifier/bytes/hex'
import { predictMrTd } from '@cloister/verifier/tdx/mr-td'
import { predictUnifiedKernel } from '@cloister/verifier/tdx/unified-kernel'
import { bootFiles, unifiedKernel } from '../boot-files.ts'
import { hasTdxMetadata, QGS_SOCKET, tdxLeaves } from '../probe/tdx-leaves.ts'
import type { QmpClient } from '../qmp.ts'
import type { VmSpec } from '../vm-spec.ts'
import type { LaunchPrediction, TeeDriver } from './driver.ts'
import { firmwareError, readBootFile, readFirmware } from './measured-files.ts'
import { requireHost } from './require-host.ts'

const MRCONFIGID_BYTES = 48

export const tdx: TeeDriver = {
  id: 'tdx',
  title: 'Intel TDX',
  isHardware: true,
  // It connects there for each quote.
  devices: [QGS_SOCKET],
  pinsMemory: false,
  probe: tdxLeaves,
  async arguments(spec, host) {
    if (spec.guestPolicy !== undefined || spec.idBlock !== undefined)
      throw new CloisterError('vm.spec-invalid', { where: 'guestPolicy, idBlock: not for tdx' })
    await requireHost(tdx, host)
    // Before QEMU would start what nothing is known of.
    await predict(spec)
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
      isUnified: true,
    }
  },
  async launched(qmp, spec) {
    await requireProperty(qmp, 'mrconfigid', toBase64(mrConfigId(spec)))
    await requireProperty(qmp, 'sept-ve-disable', true)
  },
  predict,
}

/** QEMU has no `query-tdx`; it tells what it gave to the TDX module. @throws CloisterError `tee.launch-refused` */
async function requireProperty(
  qmp: Pick<QmpClient, 'execute'>,
  property: string,
  wanted: unknown,
): Promise<void> {
  const received = await qmp.execute('qom-get', { path: '/objects/tdx0', property })
  if (received === wanted) return
  throw new CloisterError('tee.launch-refused', {
    where: `qom-get tdx0 ${property}`,
    expected: JSON.stringify(wanted),
    received: JSON.stringify(received ?? null).slice(0, 100),
  })
}

/** MRTD follows from the firmware's file, RTMR1 and RTMR2 from the unified kernel; RTMR0 speaks of the machine and is not predicted. */
async function predict(spec: VmSpec): Promise<LaunchPrediction> {
  const firmware = await readFirmware(bootFiles(spec).firmware)
  requireTdxFirmware(firmware)
  const image = await readBootFile(unifiedKernel(spec))
  try {
    const [mrTd, { rtmr1, rtmr2 }] = await Promise.all([
      predictMrTd(firmware),
      predictUnifiedKernel(image),
    ])
    const registers = { mrTd: toHex(mrTd), rtmr1: toHex(rtmr1), rtmr2: toHex(rtmr2) }
    return { mrConfigId: toHex(mrConfigId(spec)), ...registers }
  } catch (error) {
    throw firmwareError(error)
  }
}

/** The initdata digest, padded with zeros to the field, as CoCo's initdata specification has it. */
function mrConfigId({ hostData }: VmSpec): Uint8Array {
  const field = new Uint8Array(MRCONFIGID_BYTES)
  field.set(hostData)
  return field
}

function requireTdxFirmware(firmware: Uint8Array): void {
  if (!hasTdxMetadata(firmware))
    throw new CloisterError('tee.firmware-unfit', { received: 'no TDX metadata' })
}
