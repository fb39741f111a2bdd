/** Programs of the host that Cloister calls, and the Debian packages that bring them. */
import { accessSync, constants, existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'

export interface Requirement {
  /** Program on the path, or a file by its absolute path. */
  readonly program: string
  /** Debian package that brings it. */
  readonly debianPackage: string
  readonly purpose: string
}

/** For building the guest image and running guests. */
export const RUN_REQUIREMENTS: readonly Requirement[] = [
  {
    program: 'qemu-system-x86_64',
    debianPackage: 'qemu-system-x86',
    purpose: 'runs the virtual machines',
  },
  {
    program: 'dpkg-deb',
    debianPackage: 'dpkg',
    purpose: 'unpacks the packages of the guest image',
  },
  { program: 'xz', debianPackage: 'xz-utils', purpose: 'unpacks kernel modules' },
]

/** For building disk images of the catalogue, beside {@link RUN_REQUIREMENTS}. */
export const CATALOGUE_REQUIREMENTS: readonly Requirement[] = [
  {
    program: 'mmdebstrap',
    debianPackage: 'mmdebstrap',
    purpose: 'installs the disk images of the catalogue',
  },
  { program: 'sfdisk', debianPackage: 'fdisk', purpose: 'writes partition tables' },
]

/** For machines that boot their own disk, beside {@link RUN_REQUIREMENTS}. */
export const VM_REQUIREMENTS: readonly Requirement[] = [
  { program: 'qemu-img', debianPackage: 'qemu-utils', purpose: 'copies and grows disks' },
  { program: 'swtpm', debianPackage: 'swtpm', purpose: 'runs the TPMs of VMs' },
  { program: 'swtpm_setup', debianPackage: 'swtpm-tools', purpose: 'makes the TPMs of VMs' },
  {
    program: '/usr/share/qemu/firmware/60-edk2-x86_64.json',
    debianPackage: 'ovmf',
    purpose: 'the UEFI firmware of VMs',
  },
  { program: 'ssh-keygen', debianPackage: 'openssh-client', purpose: 'reaches VMs by ssh' },
]

/** For machines whose disk is looked into: their kernel is taken out of it, and its root may be encrypted. Beside {@link VM_REQUIREMENTS}. */
export const MEASURED_VM_REQUIREMENTS: readonly Requirement[] = [
  { program: 'sfdisk', debianPackage: 'fdisk', purpose: 'reads partition tables' },
  { program: 'debugfs', debianPackage: 'e2fsprogs', purpose: 'reads the files of a disk image' },
]

/** For machines on a bridge of the host, beside {@link VM_REQUIREMENTS}. */
export const BRIDGE_REQUIREMENTS: readonly Requirement[] = [
  { program: 'ip', debianPackage: 'iproute2', purpose: 'makes the taps of VMs on a bridge' },
]

/** For tests against tools that others wrote, beside {@link RUN_REQUIREMENTS}. */
export const TEST_REQUIREMENTS: readonly Requirement[] = [
  { program: 'skopeo', debianPackage: 'skopeo', purpose: 'interoperability of encrypted images' },
  { program: 'sbsign', debianPackage: 'sbsigntool', purpose: 'kernels signed for Secure Boot' },
  { program: 'tpm2_checkquote', debianPackage: 'tpm2-tools', purpose: 'interoperability of TPMs' },
  { program: 'mkfs.vfat', debianPackage: 'dosfstools', purpose: 'file systems of test disks' },
  { program: 'mcopy', debianPackage: 'mtools', purpose: 'files of test disks' },
  { program: 'mount', debianPackage: 'mount', purpose: 'file systems of tests of their own' },
  { program: 'openssl', debianPackage: 'openssl', purpose: 'certificates of tests' },
  { program: 'setfattr', debianPackage: 'attr', purpose: 'extended attributes of image layers' },
  { program: 'umoci', debianPackage: 'umoci', purpose: 'interoperability of image layers' },
]

/** For the end-to-end tests alone, beside {@link TEST_REQUIREMENTS}. */
export const E2E_REQUIREMENTS: readonly Requirement[] = [
  { program: 'chromium', debianPackage: 'chromium', purpose: 'the verifier in a browser' },
]

export function missingRequirements(requirements: readonly Requirement[]): readonly Requirement[] {
  return requirements.filter(({ program }) => findProgram(program) === undefined)
}

/** Also looks where packages put system programs, for a user's path may lack them. */
export function findProgram(program: string): string | undefined {
  if (program.startsWith('/')) return existsSync(program) ? program : undefined
  const folders = [
    ...(process.env['PATH'] ?? '').split(delimiter),
    '/usr/local/sbin',
    '/usr/sbin',
    '/sbin',
  ]
  return folders.map((folder) => join(folder, program)).find(isExecutable)
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}
