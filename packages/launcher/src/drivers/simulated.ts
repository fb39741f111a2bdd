/**
 * The simulated TEE: no memory encryption, no confidential firmware (AmdSev's refuses direct boot outside SEV), only the port
 * `cloister.tee` on which `simulator/` plays the secure processor. Everything else is as under SNP.
 */
import { CloisterError } from '@cloister/protocol/error'
import { bootFiles } from '../boot-files.ts'
import { pass } from '../probe/probe-node.ts'
import type { TeeDriver } from './driver.ts'
import { processorOf } from './processor.ts'
import { predictSnp } from './snp.ts'

export const simulated: TeeDriver = {
  id: 'simulated',
  title: 'Simulated SNP (protects nothing)',
  isHardware: false,
  devices: [],
  pinsMemory: false,
  probe() {
    const name = { id: 'simulated.processor', title: 'Simulated secure processor' }
    return Promise.resolve([pass(name, 'part of Cloister; memory is not encrypted')])
  },
  async arguments(spec, host) {
    const isProbe = spec.mode === 'probe'
    if (!isProbe && bootFiles(spec).firmware === undefined)
      throw new CloisterError('tee.firmware-missing', { where: 'simulated' })
    return {
      // The vCPU type in the launch digest is independent of this.
      cpu: await processorOf(spec, host),
      board: 'q35',
      machine: [],
      objects: () => [],
      firmware: 'none',
      hasTeePort: !isProbe,
    }
  },
  // The same computation; the digest differs by the command line, which names the attester mode.
  predict: predictSnp,
}
