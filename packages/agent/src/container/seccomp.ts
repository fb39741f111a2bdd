/**
 * The system calls of a container: those of a list, and no others. One that the list does not know looks to programs as if the kernel were older;
 * those that administer the machine, reach into other processes' memory by the kernel's side, or have a history of being the way out look
 * forbidden, as programs expect. Where a capability would be needed anyway the list is a second wall.
 */
import { ALLOWED_CALLS } from './allowed-calls.ts'
import {
  ALLOW,
  encodeProgram,
  fail,
  seccompProgram,
  type ArgumentRule,
  type Verdict,
} from './seccomp-program.ts'
import { CALL_NUMBERS } from './system-calls.ts'

/** Denied with EPERM, where all others are unknown (ENOSYS). */
export const DENIED_CALLS = [
  'acct',
  'add_key',
  'bpf',
  'clock_adjtime',
  'clock_settime',
  'create_module',
  'delete_module',
  'finit_module',
  'fsconfig',
  'fsmount',
  'fsopen',
  'fspick',
  'get_kernel_syms',
  'get_mempolicy',
  'init_module',
  'io_uring_enter',
  'io_uring_register',
  'io_uring_setup',
  'ioperm',
  'iopl',
  'kcmp',
  'kexec_file_load',
  'kexec_load',
  'keyctl',
  'lookup_dcookie',
  'mbind',
  'mount',
  'mount_setattr',
  'move_mount',
  'move_pages',
  'name_to_handle_at',
  'nfsservctl',
  'open_by_handle_at',
  'open_tree',
  'perf_event_open',
  'pivot_root',
  'process_vm_readv',
  'process_vm_writev',
  'ptrace',
  'query_module',
  'quotactl',
  'quotactl_fd',
  'reboot',
  'request_key',
  'set_mempolicy',
  'setns',
  'settimeofday',
  'swapoff',
  'swapon',
  'sysfs',
  'umount2',
  'unshare',
  'uselib',
  'userfaultfd',
  'ustat',
  'vmsplice',
] as const

const EPERM = fail(1)
const ENOSYS = fail(38)
/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET: namespaces of one's own. */
const NAMESPACE_FLAGS = 0x7e02_0000
/** What `personality` may be given: Linux, 32-bit addresses, an old kernel's name, both, and the question what it is. */
const PERSONALITIES = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff]
/** AF_VSOCK leads to the host past everything else. */
const AF_VSOCK = 40

/**
 * In the kernel these are `unsigned long clone_flags` of which the lower half is taken, `unsigned int personality` and `int family`.
 * clone3 is unknown to programs, for its flags lie in memory, which a filter cannot read: they fall back to clone.
 */
const BY_ARGUMENT = {
  clone: { test: 'has-bit-of', words: [NAMESPACE_FLAGS], holds: EPERM, otherwise: ALLOW },
  personality: { test: 'is', words: PERSONALITIES, holds: ALLOW, otherwise: ENOSYS },
  socket: { test: 'is', words: [AF_VSOCK], holds: EPERM, otherwise: ALLOW },
} as const satisfies Readonly<Record<string, ArgumentRule>>

/**
 * crun gives the kernel the program as it stands here, in base64, keeps it for further processes, and leaves the profile. It is made when the
 * image is built: nothing is compiled in a guest.
 */
export const SECCOMP_ANNOTATIONS = {
  'run.oci.seccomp_bpf_data': encodeProgram(
    seccompProgram(
      new Map<number, Verdict>([
        ...ALLOWED_CALLS.map((name) => [callNumber(name), ALLOW] as const),
        ...DENIED_CALLS.map((name) => [callNumber(name), EPERM] as const),
        ...Object.entries(BY_ARGUMENT).map(([name, rule]) => [callNumber(name), rule] as const),
      ]),
      ENOSYS,
    ),
  ).toString('base64'),
} as const

/**
 * What a runtime applies that does not know the annotation: no container begins without the filter. (`crun exec` takes the program that `crun run` kept
 * beside its state.)
 */
export const SECCOMP_PROFILE = { defaultAction: 'SCMP_ACT_KILL_PROCESS' } as const

function callNumber(name: string): number {
  const number = CALL_NUMBERS.get(name)
  if (number === undefined) throw new TypeError(`No system call is named ${name}`)
  return number
}
