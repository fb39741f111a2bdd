/**
 * Hosts as the capability probe sees them: the lines of /proc and /sys that matter, in the form of kernels 6.11 and newer. Only for tests.
 */
import type { DeviceAccess, HostView } from '../probe/host-view.ts'
import type { QemuVersion } from '../qemu-capabilities.ts'

export interface FakeHost {
  readonly architecture?: string
  readonly files?: Readonly<Record<string, string>>
  readonly binaries?: Readonly<Record<string, Uint8Array>>
  readonly devices?: Readonly<Record<string, DeviceAccess>>
  /** Absent: there is none. */
  readonly qemu?: { readonly version: QemuVersion; readonly objects: readonly string[] }
  /** Absent: all. */
  readonly programs?: readonly string[]
  /** Absent: yes. */
  readonly hasFirmware?: boolean
  readonly freeDiskBytes?: number
  readonly availableMemoryBytes?: number
}

export function fakeHostView(host: FakeHost): HostView {
  const { files = {}, binaries = {}, devices = {}, qemu, programs } = host
  return {
    architecture: host.architecture ?? 'x64',
    readFile: (path) => Promise.resolve(files[path]),
    readBytes: (path) => Promise.resolve(binaries[path]),
    deviceAccess: (path) => Promise.resolve(devices[path] ?? 'absent'),
    hasFirmware: () => Promise.resolve(host.hasFirmware ?? true),
    hasProgram: (name) => Promise.resolve(programs?.includes(name) ?? true),
    qemu: () =>
      Promise.resolve(
        qemu && { program: '/usr/bin/qemu', version: qemu.version, objects: new Set(qemu.objects) },
      ),
    freeDiskBytes: () => Promise.resolve(host.freeDiskBytes ?? 100 * 2 ** 30),
    availableMemoryBytes: () => Promise.resolve(host.availableMemoryBytes ?? 64 * 2 ** 30),
  }
}

const QEMU_10_1 = {
  version: { major: 10, minor: 1 },
  objects: ['memory-backend-memfd', 'sev-guest', 'sev-snp-guest', 'tdx-guest'],
}
const QEMU_7_2 = {
  version: { major: 7, minor: 2 },
  objects: ['memory-backend-memfd', 'sev-guest'],
}

const KVM_AMD = '/sys/module/kvm_amd/parameters'
const MISC = '/sys/fs/cgroup'
const AMD_DEVICES = { '/dev/kvm': 'usable', '/dev/sev': 'usable' } as const

function amd(model: string, family: number, flags: string): string {
  return `processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: ${family}\nmodel name\t: ${model}\nflags\t\t: fpu svm ${flags}\n\nprocessor\t: 1\nvendor_id\t: AuthenticAMD\n`
}

/** EPYC 9354, all switched on, a guest of SNP and two of SEV running. */
export const GENOA_SNP: FakeHost = {
  files: {
    '/proc/cpuinfo': amd(
      'AMD EPYC 9354 32-Core Processor',
      25,
      'sme sev sev_es sev_snp debug_swap',
    ),
    [`${KVM_AMD}/sev`]: 'Y',
    [`${KVM_AMD}/sev_es`]: 'Y',
    [`${KVM_AMD}/sev_snp`]: 'Y',
    [`${MISC}/misc.capacity`]: 'sev 907\nsev_es 99',
    [`${MISC}/misc.current`]: 'sev 2\nsev_es 1',
  },
  devices: AMD_DEVICES,
  qemu: QEMU_10_1,
}

/** The same processor; the firmware reserved no RMP. */
export const GENOA_NO_RMP: FakeHost = {
  ...GENOA_SNP,
  files: { ...GENOA_SNP.files, [`${KVM_AMD}/sev_snp`]: 'N' },
}

/** The same; every key is in use. */
export const GENOA_NO_ASIDS: FakeHost = {
  ...GENOA_SNP,
  files: { ...GENOA_SNP.files, [`${MISC}/misc.current`]: 'sev 2\nsev_es 99' },
}

/** The same; keys are left, but the cgroup that hostd is in may take no more. */
export const GENOA_CGROUP_FULL: FakeHost = {
  ...GENOA_SNP,
  files: {
    ...GENOA_SNP.files,
    '/proc/self/cgroup': '0::/system.slice/cloister.service',
    [`${MISC}/system.slice/misc.max`]: 'sev max\nsev_es 1',
    [`${MISC}/system.slice/misc.current`]: 'sev 0\nsev_es 1',
    [`${MISC}/system.slice/cloister.service/misc.max`]: 'sev max\nsev_es max',
    [`${MISC}/system.slice/cloister.service/misc.current`]: 'sev 0\nsev_es 1',
  },
}

/** The same; Debian 12's QEMU. */
export const GENOA_OLD_QEMU: FakeHost = { ...GENOA_SNP, qemu: QEMU_7_2 }

/** The same; /dev/sev belongs to root alone. */
export const GENOA_DEVICE_CLOSED: FakeHost = {
  ...GENOA_SNP,
  devices: { ...AMD_DEVICES, '/dev/sev': 'denied' },
}

/** The same; ccp did not load. */
export const GENOA_NO_DEVICE: FakeHost = { ...GENOA_SNP, devices: { '/dev/kvm': 'usable' } }

/** The same; kvm_amd is not loaded. */
export const GENOA_NO_MODULE: FakeHost = {
  ...GENOA_SNP,
  files: { '/proc/cpuinfo': GENOA_SNP.files?.['/proc/cpuinfo'] ?? '' },
}

/** The same; the firmware gives all keys to SEV. */
export const GENOA_NO_ES_KEYS: FakeHost = {
  ...GENOA_SNP,
  files: { ...GENOA_SNP.files, [`${MISC}/misc.capacity`]: 'sev 1006\nsev_es 0' },
}

/** EPYC 7251: SEV and SEV-ES, no SNP. */
export const NAPLES: FakeHost = {
  files: {
    '/proc/cpuinfo': amd('AMD EPYC 7251 8-Core Processor', 23, 'sme sev sev_es'),
    [`${KVM_AMD}/sev`]: '1',
    [`${KVM_AMD}/sev_es`]: '1',
    [`${MISC}/misc.capacity`]: 'sev 15\nsev_es 4',
  },
  devices: AMD_DEVICES,
  qemu: QEMU_7_2,
}

function intel(flags: string): string {
  return `processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel name\t: INTEL(R) XEON(R) PLATINUM 8580\nflags\t\t: fpu vmx ${flags}\n`
}

const QGS = '/var/run/tdx-qgs/qgs.socket'

/** Xeon 8580 with TDX and a quote generation service. */
export const XEON_TDX: FakeHost = {
  files: {
    '/proc/cpuinfo': intel('tme tdx_host_platform'),
    '/sys/module/kvm_intel/parameters/tdx': 'Y',
    [`${MISC}/misc.capacity`]: 'tdx 31',
    [`${MISC}/misc.current`]: 'tdx 0',
  },
  devices: { '/dev/kvm': 'usable', [QGS]: 'usable' },
  qemu: QEMU_10_1,
}

export const XEON_NO_TDX_BIOS: FakeHost = {
  ...XEON_TDX,
  files: { '/proc/cpuinfo': intel('tme') },
}
export const XEON_TDX_OFF: FakeHost = {
  ...XEON_TDX,
  files: { ...XEON_TDX.files, '/sys/module/kvm_intel/parameters/tdx': 'N' },
}
export const XEON_NO_QGS: FakeHost = { ...XEON_TDX, devices: { '/dev/kvm': 'usable' } }
/** The same; the service's socket belongs to its own user alone. */
export const XEON_QGS_CLOSED: FakeHost = {
  ...XEON_TDX,
  devices: { '/dev/kvm': 'usable', [QGS]: 'denied' },
}
export const XEON_NO_KEYS: FakeHost = {
  ...XEON_TDX,
  files: { ...XEON_TDX.files, [`${MISC}/misc.current`]: 'tdx 31' },
}
export const XEON_CGROUP_FULL: FakeHost = {
  ...XEON_TDX,
  files: {
    ...XEON_TDX.files,
    '/proc/self/cgroup': '0::/user.slice',
    [`${MISC}/user.slice/misc.max`]: 'tdx 0',
  },
}
export const XEON_OLD_QEMU: FakeHost = { ...XEON_TDX, qemu: QEMU_7_2 }

/** IBM z16 with Secure Execution. */
export const Z16: FakeHost = {
  architecture: 's390x',
  files: {
    '/proc/cpuinfo':
      'vendor_id       : IBM/S390\n# processors    : 4\nfeatures\t: esan3 zarch stfle msa ldisp eimm dfp edat etf3eh highgprs te vx sie\nfacilities      : 0 1 2 3 4 6 7 8 9 10 150 151 152 155 156 158 161 168',
    '/sys/firmware/uv/prot_virt_host': '1',
  },
  devices: { '/dev/kvm': 'usable' },
  qemu: { version: { major: 10, minor: 0 }, objects: ['s390-pv-guest'] },
}
export const Z16_NO_PROT_VIRT: FakeHost = {
  ...Z16,
  files: { ...Z16.files, '/sys/firmware/uv/prot_virt_host': '0' },
}
export const Z14: FakeHost = {
  ...Z16,
  files: {
    '/proc/cpuinfo':
      'vendor_id       : IBM/S390\nfeatures\t: esan3 sie\nfacilities      : 0 1 2 150',
  },
}

/** A rented VM of no particular kind: emulation only. */
export const PLAIN_VM: FakeHost = {
  files: {
    '/proc/cpuinfo':
      'vendor_id\t: GenuineIntel\nmodel name\t: Some Cloud CPU\nflags\t\t: fpu sse2\n',
  },
  qemu: QEMU_7_2,
}
