/** The kernel command lines of an image: measured, so they carry what must not be changed by the host. */
import type { GuestImageManifest } from '@cloister/protocol/guest-image-manifest'
import type { AttesterMode } from '@cloister/protocol/guest-names'

type Verity = GuestImageManifest['root']['verity']

/**
 * Drivers that are built into the kernel, talk to devices of the host and have no use here: the kernel does not start them.
 * virtiofs, NVMe, TPM (two), VM generation ID (asks for reseeding), the keyboard controller.
 */
const SILENCED_INITCALLS = [
  'virtio_fs_init',
  'nvme_init',
  'init_tis',
  'crb_acpi_driver_init',
  'vmgenid_plaform_driver_init',
  'i8042_init',
] as const

const HARDENING = [
  'quiet',
  'loglevel=0',
  'panic=-1',
  'oops=panic',
  'lockdown=confidentiality',
  'lsm=lockdown,capability,landlock,yama',
  'module.sig_enforce=1',
  'random.trust_bootloader=off',
  'random.trust_cpu=on',
  'sysctl.kernel.sysrq=0',
  'debugfs=off',
  'nohibernate',
  'vsyscall=none',
  'audit=0',
  // The kernel's self-tests of its ciphers: a second of each boot under emulation.
  'cryptomgr.notests',
  // As the kernel decides by itself under KVM: on a busy host an emulated guest can count too few ticks in this check, which is a panic.
  'no_timer_check',
  `initcall_blacklist=${SILENCED_INITCALLS.join(',')}`,
] as const

/**
 * A VM's own system loads modules that its kernel's maker signed, reads its own memory with tools of its own, and brings its own security
 * modules: `integrity` keeps the measured kernel what it is and leaves the rest to the owner. Systemd takes no credentials that the host put
 * into SMBIOS or fw_cfg. The serial console is the owner's way in, in clear to the host.
 */
const VM_HARDENING = [
  'quiet',
  'panic=-1',
  'oops=panic',
  'lockdown=integrity',
  'module.sig_enforce=1',
  'random.trust_bootloader=off',
  'random.trust_cpu=on',
  'sysctl.kernel.sysrq=0',
  'nohibernate',
  'cryptomgr.notests',
  'no_timer_check',
  'systemd.import_credentials=no',
  // A disk that the host adds under a name of the system's fstab must not get the memory's pages.
  'systemd.swap=0',
  'systemd.gpt_auto=0',
  `initcall_blacklist=${SILENCED_INITCALLS.join(',')}`,
  'console=ttyS0',
] as const

/** No console: nothing that the guest prints reaches the host. */
const SILENT = ['8250.nr_uarts=0', 'console=null'] as const
const CONSOLE = ['console=ttyS0'] as const

/** The exact text for QEMU's `-append` in each mode. */
export function commandLines(verity: Verity): Record<AttesterMode, string> {
  const line = (mode: AttesterMode, output: readonly string[]) =>
    [`cloister.mode=${mode}`, rootWord(verity), ...HARDENING, ...output].join(' ')
  return {
    hardware: line('hardware', SILENT),
    simulated: line('simulated', SILENT),
    probe: line('probe', SILENT),
    debug: line('debug', CONSOLE),
  }
}

/** The same for a guest that starts a VM's own system. */
export function vmCommandLines(verity: Verity): Record<AttesterMode, string> {
  const line = (mode: AttesterMode) =>
    [`cloister.mode=${mode}`, rootWord(verity), 'cloister.guest=vm', ...VM_HARDENING].join(' ')
  return {
    hardware: line('hardware'),
    simulated: line('simulated'),
    probe: line('probe'),
    debug: line('debug'),
  }
}

function rootWord({ rootHash, dataBlocks, hashOffset, salt }: Verity): string {
  return `cloister.root=${rootHash},${dataBlocks},${hashOffset},${salt}`
}
