/**
 * The recipe: what goes into a guest image. Whoever changes what this file or the code of the build puts into images, or the
 * agent in a way that policies must tell apart, raises {@link RECIPE_REVISION}.
 */

/** Part of the image version, which rises with it; see {@link imageVersion}. */
export const RECIPE_REVISION = 4

/** The one suite of the guest, whatever the host runs. */
export const GUEST_SUITE = 'trixie'
/** Only the firmware for confidential guests comes from here. */
export const FIRMWARE_SUITE = 'sid'

export const DEBIAN_KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'

/** Resolved by apt together with the libraries that they depend on. */
export const GUEST_PACKAGES = [
  'attr',
  'busybox-static',
  'crun',
  'cryptsetup-bin',
  'dmsetup',
  'e2fsprogs',
  'erofs-utils',
  'libstdc++6',
] as const

/** systemd's EFI stub, of which unified kernels for TDX are made. */
export const STUB_PACKAGE = 'systemd-boot-efi'
export const STUB_FILE = 'usr/lib/systemd/boot/efi/linuxx64.efi.stub'

/** Taken without what they depend on: of these only data is used. */
export const DATA_PACKAGES = ['ca-certificates', STUB_PACKAGE] as const

/** Depends on the kernel of the day, which is taken in its place. */
export const KERNEL_METAPACKAGE = 'linux-image-cloud-amd64'

export const FIRMWARE_PACKAGE = 'ovmf-amdsev'
export const FIRMWARE_FILE = 'usr/share/ovmf/OVMF.amdsev.fd'
export const TDX_FIRMWARE_PACKAGE = 'ovmf-inteltdx'
/** With Microsoft's keys enrolled, which are taken out: see `tdx-firmware.ts`. */
export const TDX_FIRMWARE_FILE = 'usr/share/ovmf/OVMF.inteltdx.ms.fd'

/** Programs of the root file system: path in the guest, path in the packages. */
export const ROOT_PROGRAMS: Readonly<Record<string, string>> = {
  'usr/bin/busybox': 'usr/bin/busybox',
  'usr/bin/crun': 'usr/bin/crun',
  'usr/bin/setfattr': 'usr/bin/setfattr',
  'usr/sbin/cryptsetup': 'usr/sbin/cryptsetup',
  'usr/sbin/dmsetup': 'usr/sbin/dmsetup',
  'usr/sbin/mkfs.ext4': 'usr/sbin/mke2fs',
}

/** Applets of busybox that the agent calls by their own names. */
export const ROOT_APPLETS = ['cat', 'dd', 'ip', 'mknod', 'mount', 'umount', 'poweroff'] as const

/** A library that glibc opens by itself when a thread is cancelled; no ELF header names it. */
export const OPENED_LIBRARIES = ['libgcc_s.so.1'] as const

/**
 * Kernel modules in the order in which the initrd loads them, without what they depend on (that is found in the modules).
 * Nothing can be loaded later. Built into the kernel are virtio, virtio_pci, virtio_console, ext4 and the plain ciphers.
 */
export const MODULES = {
  port: [],
  /** Needed to mount the root; Node is read into memory while the others load. */
  root: ['virtio_blk', 'dm-mod', 'dm-verity', 'erofs'],
  /** Checks the root's blocks by the processor's own instructions. */
  'root-optional': ['sha256-ssse3'],
  required: [
    'virtio_net',
    'dm-crypt',
    'dm-integrity',
    'xts',
    'authenc',
    'overlay',
    'configfs',
    'tsm',
  ],
  /** For processors and platforms that have what they drive; their refusal is no failure, here as above. */
  optional: ['crc32c-intel', 'aesni-intel', 'sev-guest', 'tdx-guest'],
} as const

/** The same for a kernel that comes out of a VM's disk image, which may have any of these built in. */
export const VM_MODULES = {
  /** The stages are told through these. */
  port: ['virtio_pci', 'virtio_console'],
  root: ['virtio_blk', 'dm-mod', 'dm-verity', 'erofs'],
  'root-optional': ['sha256-ssse3', 'sha256_generic'],
  required: ['dm-crypt', 'dm-integrity', 'xts', 'authenc'],
  optional: [
    'crc32c_generic',
    'crc32c-intel',
    'aesni-intel',
    'hmac',
    'configfs',
    'tsm',
    'sev-guest',
    'tdx-guest',
    'virtio_net',
  ],
} as const

/**
 * The version in the manifest: rises with the recipe and, under one recipe, with the date of the newest package.
 *
 * @param epoch - seconds since 1970
 */
export function imageVersion(epoch: number): number {
  const days = Math.floor(epoch / 86_400)
  return RECIPE_REVISION * 1_000_000 + days
}
