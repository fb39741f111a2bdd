/** No TEE: an ordinary VM. Its memory is the host's to read; Secure Boot and vTPM protect against changes from inside the guest. */
import type { TeeDriver } from './driver.ts'

export const none: TeeDriver = {
  id: 'none',
  title: 'No TEE (the host sees everything)',
  isHardware: false,
  devices: [],
  pinsMemory: false,
  probe: () => Promise.resolve([]),
  arguments: (_spec, { accelerator }) =>
    Promise.resolve({
      board: 'q35',
      // Under TCG of QEMU 7.2 `max` crashes newer kernels.
      cpu: accelerator === 'kvm' ? 'host' : 'EPYC-Rome,-cx16',
      machine: [],
      objects: () => [],
      firmware: 'none',
      hasTeePort: false,
    }),
  predict: () => Promise.resolve({}),
}
