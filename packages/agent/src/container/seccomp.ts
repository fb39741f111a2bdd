/**
 * The system calls of a container: those of a list, and no others. One that the list does not know looks to programs as if the kernel were older;
 * those that administer the machine, reach into other processes' memory by the kernel's side, or have a history of being the way out look
 * forbidden, as programs expect. Where a capability would be needed anyway the list is a second wall.
 */
import { ALLOWED_CALLS } from './allowed-calls.ts'

/** Denied with EPERM, where all others are unknown (ENOSYS). */
const DENIED = [
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

const EPERM = 1
const ENOSYS = 38
/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET: namespaces of one's own. */
const NAMESPACE_FLAGS = 0x7e02_0000

/** What `personality` may be given: Linux, 32-bit addresses, an old kernel's name, both, and the question what it is. */
const PERSONALITIES = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff]
/** AF_VSOCK leads to the host past everything else. */
const AF_VSOCK = 40

export const SECCOMP = {
  defaultAction: 'SCMP_ACT_ERRNO',
  defaultErrnoRet: ENOSYS,
  // Not 32-bit x86: its `socketcall` keeps its arguments in memory, which a filter cannot read, and libseccomp brings it in with `socket`.
  architectures: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X32'],
  syscalls: [
    { names: ALLOWED_CALLS, action: 'SCMP_ACT_ALLOW' },
    {
      names: ['clone'],
      action: 'SCMP_ACT_ALLOW',
      args: [{ index: 0, value: NAMESPACE_FLAGS, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }],
    },
    ...PERSONALITIES.map((value) => ({
      names: ['personality'],
      action: 'SCMP_ACT_ALLOW',
      args: [{ index: 0, value, op: 'SCMP_CMP_EQ' }],
    })),
    {
      names: ['socket'],
      action: 'SCMP_ACT_ALLOW',
      args: [{ index: 0, value: AF_VSOCK, op: 'SCMP_CMP_NE' }],
    },
    { names: DENIED, action: 'SCMP_ACT_ERRNO', errnoRet: EPERM },
    ...namespaceBits().map((bit) => ({
      names: ['clone'],
      action: 'SCMP_ACT_ERRNO',
      errnoRet: EPERM,
      args: [{ index: 0, value: bit, valueTwo: bit, op: 'SCMP_CMP_MASKED_EQ' }],
    })),
    {
      names: ['socket'],
      action: 'SCMP_ACT_ERRNO',
      errnoRet: EPERM,
      args: [{ index: 0, value: AF_VSOCK, op: 'SCMP_CMP_EQ' }],
    },
    // clone3 is unknown to programs, for its flags lie in memory, which a filter cannot read: they fall back to clone.
  ],
} as const

function namespaceBits(): number[] {
  const bits: number[] = []
  for (let bit = 1; bit <= NAMESPACE_FLAGS; bit *= 2)
    if (Math.floor(NAMESPACE_FLAGS / bit) % 2 === 1) bits.push(bit)
  return bits
}
