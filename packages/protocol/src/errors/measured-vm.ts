import type { ErrorEntry } from './entry.ts'

/** The owner's side of a measured boot: what is taken out of a disk image, and what an image or a TEE cannot give. */
export const MEASURED_VM_ERRORS = {
  'vm-boot.kernel-missing': {
    title: 'Cannot measure the boot of the image: no kernel found in it',
    why: 'neither /boot of the root nor a boot partition holds a kernel together with its modules',
    fix: ['install a kernel package in the image', 'cloister vm create --tee none NAME'],
    status: 422,
    exit: 5,
  },
  'vm-boot.kernel-unfit': {
    title: 'Cannot measure the boot of the image: its kernel lacks a driver',
    why: 'the initrd needs device mapper with verity, crypt and integrity, EROFS and virtio, as modules or built in',
    fix: ['install a distribution kernel in the image, for instance linux-image-cloud-amd64'],
    status: 422,
    exit: 5,
  },
  'vm-boot.tee-driver-missing': {
    title: 'Cannot start the VM under this TEE: its kernel cannot attest',
    why: 'the kernel in the image has no driver for attestation reports of this TEE (configfs-tsm, from Linux 6.7), or, for TDX, its EFI stub measures nothing into RTMRs (from 6.9), or the guest image is of a version before TDX',
    fix: [
      'install a newer kernel in the image, for instance from backports',
      'renew the guest image: cloister guest-image build --refresh',
      'cloister vm create --tee simulated NAME',
    ],
    status: 422,
    exit: 5,
  },
  'vm.machine-unknown': {
    title: 'Cannot accept the machine of the VM: its RTMR0 is not known',
    why: 'no release was refused lately for which RTMR0 was all that was missing',
    fix: [
      'start the VM, which asks for its secrets: cloister vm start NAME',
      'see what else was missing: cloister broker audit',
      'give the value where you know it: cloister vm accept-machine NAME RTMR0',
    ],
    status: 409,
    exit: 2,
  },
  'vm.machine-probe-failed': {
    title: "Cannot try out the machine of a TD: this machine's QEMU did not start it",
    why: 'QEMU lacks something that the machine has, the firmware is none of TDX, or there is too little memory here',
    fix: [
      'give what a guest of that machine shows: --machine-files DIR',
      'do without; the machine is accepted after its first boot: cloister vm accept-machine NAME',
    ],
    status: 422,
    exit: 5,
  },
  'vm-boot.root-missing': {
    title: 'Cannot find the root file system in the image',
    why: 'no partition holds a file system that the guest can mount with an /etc and a first process',
    fix: ['cloister vm create --tee none NAME'],
    status: 422,
    exit: 5,
  },
  'vm-boot.file-system-unfit': {
    title:
      'Cannot measure the boot of the image: its root is on a file system that is not supported',
    why: 'the initrd mounts ext4 alone, and kernel and modules are read from it',
    fix: [
      "put the root of the image on ext4: mke2fs -t ext4 -d DIRECTORY, with the system's files in it",
      'cloister vm create --tee none NAME',
    ],
    status: 422,
    exit: 5,
  },
  'vm-boot.init-missing': {
    title: 'Cannot measure the boot of the image: it has no first process',
    why: '/sbin/init is neither a program nor a link in the root of the image',
    fix: ['install an init system in the image'],
    status: 422,
    exit: 5,
  },
  'vm-boot.disk-too-small': {
    title: 'Cannot encrypt the disk: the size asked for is too small',
    why: 'the root file system and the integrity tags do not fit',
    fix: ['cloister vm create --disk with a larger size'],
    status: 422,
    exit: 6,
  },
  'vm-boot.host-orders': {
    title: 'Cannot protect the image: a program in it takes orders from the host',
    why: 'an agent of the platform is installed, by which whoever runs the host commands the VM as root',
    fix: ['remove the program named below from the image'],
    status: 422,
    exit: 2,
  },
  'vm-boot.console-login': {
    title: 'Cannot protect the image: its console lets in whoever sits at it',
    why: "the serial console of a VM is the host's, and the image logs in there without a password",
    fix: [
      'lock the account (passwd -l NAME) or remove the file named below from the image',
      'where the host may log in: cloister vm create --allow-console-login NAME',
    ],
    status: 422,
    exit: 2,
  },
  'vm-boot.swap': {
    title: 'Cannot protect the image: it swaps memory to a disk in clear',
    why: 'its fstab names swap, and its init is no systemd, which could be told to leave it alone',
    fix: [
      'remove the line from /etc/fstab of the image',
      'where the host may read memory: cloister vm create --allow-swap NAME',
    ],
    status: 422,
    exit: 2,
  },
  'vm-boot.not-encrypted': {
    title: 'The VM has no encrypted disk',
    why: 'it was created without --encrypt-disk',
    fix: ['cloister vm create --encrypt-disk NAME'],
    status: 409,
    exit: 6,
  },
  'vm-boot.key-not-taken': {
    title: 'The VM did not take the new key over',
    why: 'it started, and the broker never gave it the key that was offered; its disk has the key that it had',
    fix: ['cloister broker audit --workload NAME', 'then run the same command again'],
    status: 409,
    exit: 1,
  },
} as const satisfies Record<string, ErrorEntry>
