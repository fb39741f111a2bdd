/**
 * The simulated TEE: no memory encryption, no confidential firmware (AmdSev's refuses direct boot outside SEV), only the port
 * `cloister.tee` on which `simulator/` plays the secure processor. Everything else is as under SNP.
 */
import { CloisterError } from '@cloister/protocol/error'
import type { TeeDriver } from './driver.ts'

export const simulated: TeeDriver = {
  id: 'simulated',
  isHardware: false,
  devices: [],
  arguments(spec, { accelerator }) {
    const isProbe = spec.mode === 'probe'
    if (!isProbe && spec.boot.firmware === undefined)
      return Promise.reject(new CloisterError('tee.firmware-missing', { where: 'simulated' }))
    return Promise.resolve({
      // `max` crashes newer guest kernels under TCG of QEMU 7.2. The vCPU type in the launch digest is independent of this.
      cpu: accelerator === 'kvm' ? 'host' : 'EPYC-Rome',
      machine: [],
      extra: [],
      hasFirmware: false,
      hasTeePort: !isProbe,
    })
  },
}
