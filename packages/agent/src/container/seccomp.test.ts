import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ALLOWED_CALLS } from './allowed-calls.ts'
import { SECCOMP } from './seccomp.ts'

test('SECCOMP lets nothing through that no rule names', () => {
  assert.equal(SECCOMP.defaultAction, 'SCMP_ACT_ERRNO')
})

test('SECCOMP forbids and allows no call at once, but by its arguments', () => {
  const unconditional = SECCOMP.syscalls.filter((rule) => !('args' in rule))
  const names = unconditional.flatMap((rule) => [...rule.names])
  assert.equal(new Set(names).size, names.length)
})

test('SECCOMP takes no calls of 32-bit x86, whose socketcall no filter can read', () => {
  assert.deepEqual(SECCOMP.architectures, ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X32'])
})

test('ALLOWED_CALLS has what programs start with, and nothing that administers the machine', () => {
  for (const call of ['execve', 'mmap', 'futex', 'epoll_wait', 'openat', 'rseq', 'getrandom'])
    assert.ok(ALLOWED_CALLS.includes(call), call)
  // By their arguments, or not at all.
  for (const call of [
    'clone',
    'clone3',
    'socket',
    'socketcall',
    'personality',
    'mount',
    'unshare',
    'setns',
    'ptrace',
    'bpf',
    'keyctl',
    'io_uring_setup',
    'userfaultfd',
    'perf_event_open',
    'kexec_load',
    'init_module',
    'pidfd_getfd',
    'syslog',
  ])
    assert.ok(!ALLOWED_CALLS.includes(call), call)
})
