/** The machines that guests run on, and what their devices have in common. */
import { SOCKETS } from './vm-files.ts'

/** q35 with PCI devices, or s390-ccw-virtio with channel devices. */
export type BoardName = 'q35' | 's390'

export interface Board {
  readonly machine: string
  /** What `virtio-blk-` and its like end in. */
  readonly transport: string
  /** virtio 1.0 through the IOMMU API: shared pages are then explicit, as confidential guests need. */
  readonly virtio: string
  readonly serial: string
}

export const BOARDS: Readonly<Record<BoardName, Board>> = {
  /** Everything q35 brings that these guests do not use is off. */
  q35: {
    machine:
      'q35,vmport=off,smm=off,sata=off,smbus=off,usb=off,graphics=off,hpet=off,i8042=off,mem-merge=off,dump-guest-core=off',
    transport: 'pci',
    virtio: 'disable-legacy=on,iommu_platform=on',
    serial: 'isa-serial',
  },
  s390: {
    machine: 's390-ccw-virtio,mem-merge=off,dump-guest-core=off',
    transport: 'ccw',
    virtio: 'iommu_platform=on',
    serial: 'sclpconsole',
  },
}

/** An error of the host's disk reaches the guest as an error; the default would freeze the guest. */
export const DISK_ERRORS = 'werror=report,rerror=report'

/** Of a machine's own disk: a host without space freezes the guest until there is some, and no write of its is lost. */
export const SYSTEM_DISK_ERRORS = 'werror=enospc,rerror=report'

export function socketChardev(name: keyof typeof SOCKETS): string {
  return `socket,id=${name},path=${SOCKETS[name]},server=on,wait=off`
}
