/** In words: what it means that events of a part of the machine differ between two boots. */
import type { BootComponent } from './boot-events.ts'

export const BOOT_CAUSES: Readonly<Record<BootComponent, string>> = {
  firmware: 'another firmware, or another version of it, has booted the machine',
  'machine configuration': 'the machine has other hardware or tables than before',
  'boot order': 'the firmware has another list of boot entries',
  'option ROM': 'a device brought code of its own into the firmware, or no longer does',
  'Secure Boot state': 'Secure Boot was switched on or off',
  'Secure Boot PK': 'the key of the platform was replaced',
  'Secure Boot KEK': 'the keys that may change the lists of Secure Boot were changed',
  'Secure Boot db': 'other signers may start code than before',
  'Secure Boot dbx':
    'the list of revoked code was changed: an update adds to it, an attack takes from it',
  'Secure Boot authority': 'the code that was started is vouched for by another key than before',
  'shim SBAT level': "shim's list of revoked generations was changed, by an update as a rule",
  'machine owner keys': 'a key was enrolled in or removed from the list of shim (mokutil)',
  shim: 'the first boot loader was updated or replaced',
  grub: 'the boot loader was updated or replaced',
  'boot loader': 'an application that is not in the baseline was started, or one of it was not',
  'partition table': 'partitions were added, removed, moved or renamed',
  'grub configuration': 'a configuration of the boot loader was edited or written anew',
  'grub command': 'the boot loader ran other commands than before',
  'grub file': 'the boot loader read another file than before',
  kernel: 'the kernel was updated or replaced',
  'kernel command line': 'the kernel was started with other parameters',
  initrd: 'the initial file system was written anew or replaced; nothing signs it',
  'unified kernel image': 'a section of the unified kernel image, or a boot phase, differs',
  'firmware action': 'the firmware took another way through the boot',
  separator: 'the firmware met an error, or did not mark the end of a phase',
  'runtime event': 'what runs in the guest reported something else',
  other: 'something was measured that is not known here',
}

export const GROWN_TABLE =
  'the disk has grown and its last partition with it; nothing else in the table changed'
