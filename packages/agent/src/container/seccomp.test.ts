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

test('SECCOMP names no call that only 32-bit x86 has', () => {
  const only32 =
    'ipc mmap2 readdir recv send sigaction signal sigpending sigprocmask sigreturn sigsuspend socketcall ugetrlimit umount vm86 vm86old waitpid'.split(
      ' ',
    )
  const names = SECCOMP.syscalls.flatMap((rule): readonly string[] => rule.names)
  const isOld =
    /(?:[a-z]32|_time64|(?:stat|statfs|truncate|fcntl|fstatat|gettime|settime|sendfile)64|^_.*|^fadvise64_64)$/
  assert.deepEqual(
    names.filter((name) => isOld.test(name) || only32.includes(name)),
    [],
  )
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
