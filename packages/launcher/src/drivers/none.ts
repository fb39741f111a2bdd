/** No TEE: an ordinary VM. Its memory is the host's to read; Secure Boot and vTPM protect against changes from inside the guest. */
import type { TeeDriver } from './driver.ts'
import { processorOf } from './processor.ts'

export const none: TeeDriver = {
  id: 'none',
  title: 'No TEE (the host sees everything)',
  isHardware: false,
  devices: [],
  pinsMemory: false,
  probe: () => Promise.resolve([]),
  arguments: async (spec, host) => ({
    board: 'q35',
    cpu: await processorOf(spec, host),
    machine: [],
    objects: () => [],
    firmware: 'none',
    hasTeePort: false,
  }),
  predict: () => Promise.resolve({}),
}
