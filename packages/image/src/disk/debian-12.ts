/** The recipe of the catalogue image `debian-12`: what is installed, and the configuration that makes it boot anywhere here. */

/** Rises when an image of the older recipe should be built again. */
export const RECIPE_REVISION = 2

export const DISK_SUITE = 'bookworm'
/** The kernel comes from here: that of the suite itself drives neither SEV-SNP's nor TDX's reports by configfs-tsm. */
export const KERNEL_SUITE = 'bookworm-backports'

/** What apt is asked for; the rest are dependencies. */
export const DISK_PACKAGES = [
  'apt',
  'ca-certificates',
  'cloud-guest-utils',
  'cloud-init',
  'dbus',
  'dosfstools',
  'e2fsprogs',
  'fdisk',
  'grub-efi-amd64-bin',
  'grub-efi-amd64-signed',
  'grub2-common',
  'init',
  'initramfs-tools',
  'iproute2',
  'iputils-ping',
  'kmod',
  'less',
  'libpam-systemd',
  'linux-image-cloud-amd64',
  'netbase',
  'openssh-server',
  'procps',
  'shim-signed',
  'sudo',
  'systemd-resolved',
  'systemd-timesyncd',
] as const

/** Programs that shape the bytes of the image. They come from the guest image's suite and run by their own loader. */
export const TOOL_PACKAGES = ['dosfstools', 'e2fsprogs', 'libarchive13t64', 'mtools'] as const

/** The same in all images of this recipe, for GRUB and fstab go by them. */
export const IDENTIFIERS = {
  disk: '63c2a1b0-7a5e-4d0c-9d5f-2b1c7e3f0a12',
  espPartition: '8e0f3c52-91d4-4a7b-8c36-5d2e9b7f1a12',
  rootPartition: 'b7d9e1a4-3c6f-4e28-a1b5-7f4c2d8e6a12',
  rootFileSystem: '5a3d8f26-e4b1-4c97-b2d0-9e6c1f7a3b12',
  directoryHash: '1f6e2d9c-8b4a-4f53-9c7d-3a5b8e0d2c12',
  /** Of the FAT file system; `-` after the fourth digit where Linux shows it. */
  espVolume: 'c1015712',
} as const

export const DEFAULT_USER = 'debian'

const COMMAND_LINE = 'ro console=tty0 console=ttyS0,115200'

/** Files below `/` beside those of the packages. @param release - of the kernel, as `uname -r` says it */
export function overlayFiles(release: string): Readonly<Record<string, string>> {
  return {
    'boot/grub/grub.cfg': grubConfiguration(release),
    'etc/cloud/cloud.cfg.d/90_cloister.cfg': CLOUD_CONFIGURATION,
    'etc/default/grub': GRUB_DEFAULTS,
    'etc/fstab': fileSystemTable(),
    'etc/hostname': 'debian\n',
    'etc/hosts': '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n',
  }
}

/** What the signed GRUB reads first, from its fixed place on the ESP. */
export const ESP_GRUB_CONFIGURATION = `search.fs_uuid ${IDENTIFIERS.rootFileSystem} root
set prefix=($root)'/boot/grub'
configfile $prefix/grub.cfg
`

/** As small as can be: each command is measured. `update-grub` in the guest writes the usual long one in its place. */
function grubConfiguration(release: string): string {
  return `set default=0
set timeout=0
menuentry 'Debian GNU/Linux' {
  search --no-floppy --fs-uuid --set=root ${IDENTIFIERS.rootFileSystem}
  linux /boot/vmlinuz-${release} root=UUID=${IDENTIFIERS.rootFileSystem} ${COMMAND_LINE}
  initrd /boot/initrd.img-${release}
}
`
}

const GRUB_DEFAULTS = `GRUB_DEFAULT=0
GRUB_TIMEOUT=0
GRUB_DISTRIBUTOR=Debian
GRUB_CMDLINE_LINUX="console=tty0 console=ttyS0,115200"
GRUB_CMDLINE_LINUX_DEFAULT=""
# The firmware's console is the serial one too.
GRUB_TERMINAL=console
GRUB_DISABLE_OS_PROBER=true
`

/** No package lists are fetched at the first boot; the kernel comes from backports, and so do its updates. */
const CLOUD_CONFIGURATION = `datasource_list: [NoCloud, None]
locale: C.UTF-8
ssh_genkeytypes: [ed25519, ecdsa]
apt:
  preserve_sources_list: false
  sources_list: |
    deb $MIRROR $RELEASE main
    deb $MIRROR $RELEASE-updates main
    deb $SECURITY $RELEASE-security main
    deb $MIRROR $RELEASE-backports main
`

function fileSystemTable(): string {
  const { rootFileSystem, espVolume } = IDENTIFIERS
  const volume = `${espVolume.slice(0, 4)}-${espVolume.slice(4)}`.toUpperCase()
  return `UUID=${rootFileSystem} / ext4 errors=remount-ro 0 1
UUID=${volume} /boot/efi vfat umask=0077,nofail 0 2
`
}
