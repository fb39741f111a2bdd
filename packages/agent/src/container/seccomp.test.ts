import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { evaluate, type SystemCall } from '../testing/classic-bpf.ts'
import { ALLOWED_CALLS } from './allowed-calls.ts'
import { DENIED_CALLS, SECCOMP_ANNOTATIONS, SECCOMP_PROFILE } from './seccomp.ts'
import { CALL_NUMBERS } from './system-calls.ts'

// linux/seccomp.h, asm-generic/errno.h, linux/audit.h
const ALLOW = 0x7fff_0000
const EPERM = 0x0005_0001
const ENOSYS = 0x0005_0026
const KILL_THREAD = 0
const AUDIT_ARCH_I386 = 0x4000_0003
const X32_BIT = 0x4000_0000

const PROGRAM = Buffer.from(SECCOMP_ANNOTATIONS['run.oci.seccomp_bpf_data'], 'base64')
const verdict = (call: SystemCall) => evaluate(PROGRAM, call).value
const numberOf = (name: string) => CALL_NUMBERS.get(name)!
const withFirst = (name: string, argument: bigint) =>
  verdict({ number: numberOf(name), args: [argument] })

/** Edges of each argument that is looked at, and each bit of 64. */
const ARGUMENTS = [
  0n,
  3n,
  39n,
  40n,
  41n,
  0x11n,
  0x2_0001n,
  0x2_0008n,
  0x3d_0f00n,
  0x7e02_0000n,
  0xffff_fffen,
  0xffff_ffffn,
  0x1_0000_0028n,
  -1n,
  ...Array.from({ length: 64 }, (_, bit) => 1n << BigInt(bit)),
]

/** What the filter is to say of a call, from the lists and in other words than its own. */
function meant(name: string | undefined, argument: bigint): number {
  const read = Number(BigInt.asUintN(32, argument))
  if (name === undefined) return ENOSYS
  if (name === 'socket') return read === 40 ? EPERM : ALLOW
  if (name === 'personality')
    return ['0', '8', '20000', '20008', 'ffffffff'].includes(read.toString(16)) ? ALLOW : ENOSYS
  if (name === 'clone') return [17, 25, 26, 27, 28, 29, 30].some(hasBit(read)) ? EPERM : ALLOW
  if (ALLOWED_CALLS.includes(name)) return ALLOW
  return (DENIED_CALLS as readonly string[]).includes(name) ? EPERM : ENOSYS
}

function hasBit(value: number): (bit: number) => boolean {
  return (bit) => Math.floor(value / 2 ** bit) % 2 === 1
}

test('the filter says of every call what the lists mean, whatever its first argument', () => {
  const names = new Map([...CALL_NUMBERS].map(([name, number]) => [number, name]))
  for (let number = 0; number < 1024; number++)
    for (const argument of ARGUMENTS)
      assert.equal(
        verdict({ number, args: [argument, -1n, -1n, -1n, -1n, -1n] }),
        meant(names.get(number), argument),
        `${number} ${names.get(number)} ${argument}`,
      )
})

test('calls of x32 and of no architecture at all are unknown', () => {
  for (let number = 0; number < 1024; number++)
    for (const argument of [0n, 40n])
      for (const high of [X32_BIT, 0x8000_0000, 0xffff_fc00])
        assert.equal(verdict({ number: high + number, args: [argument] }), ENOSYS, `${number}`)
})

test('a call of 32-bit x86 ends the thread: its socketcall no filter can read', () => {
  for (let number = 0; number < 1024; number++)
    assert.equal(verdict({ number, architecture: AUDIT_ARCH_I386 }), KILL_THREAD)
  assert.equal(verdict({ number: 0, architecture: 0xc000_00b7 }), KILL_THREAD)
})

test('AF_VSOCK is found where the kernel reads it, whatever stands above', () => {
  for (const family of [40n, 0x1_0000_0028n, 0xffff_ffff_0000_0028n])
    assert.equal(withFirst('socket', family), EPERM)
  for (const family of [1n, 2n, 10n, 16n, 0x28_0000_0000n])
    assert.equal(withFirst('socket', family), ALLOW)
})

test('no namespace comes by clone, and threads and processes do', () => {
  // pthread_create and fork of glibc, posix_spawn
  for (const flags of [0x3d_0f00n, 0x120_0011n, 0x4111n])
    assert.equal(withFirst('clone', flags), ALLOW)
  for (const flags of [0x1002_0011n, 0x1000_0000n, 0x4000_0011n, 0xf_1000_0000n])
    assert.equal(withFirst('clone', flags), EPERM)
  assert.equal(withFirst('clone3', 0n), ENOSYS)
})

test('no call takes the filter longer than a few instructions', () => {
  for (let number = 0; number < 1024; number++)
    assert.ok(evaluate(PROGRAM, { number }).steps <= 16, `${number}`)
})

test('a runtime that does not know the annotation lets no call through', () => {
  assert.deepEqual(SECCOMP_PROFILE, { defaultAction: 'SCMP_ACT_KILL_PROCESS' })
})

test('no call is both allowed and denied, or decided by its argument as well', () => {
  const names = [...ALLOWED_CALLS, ...DENIED_CALLS, 'clone', 'personality', 'socket']
  assert.equal(new Set(names).size, names.length)
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

const HEADER = '/usr/include/x86_64-linux-gnu/asm/unistd_64.h'

test(
  'CALL_NUMBERS are those of the kernel’s header',
  { skip: !existsSync(HEADER) && `not found: ${HEADER} (package linux-libc-dev)` },
  () => {
    const lines = readFileSync(HEADER, 'latin1').matchAll(/^#define __NR_(\w+) (\d+)$/gm)
    const known = new Map(Array.from(lines, ([, name, number]) => [name!, Number(number)]))
    const shared = [...CALL_NUMBERS.keys()].filter((name) => known.has(name))
    assert.ok(shared.length > 340)
    for (const name of shared) assert.equal(CALL_NUMBERS.get(name), known.get(name), name)
  },
)

test('CALL_NUMBERS has the newest where the kernel has them', () => {
  const newest = { rseq: 334, uretprobe: 335, pidfd_send_signal: 424, clone3: 435, mseal: 462 }
  for (const [name, number] of Object.entries(newest)) assert.equal(CALL_NUMBERS.get(name), number)
  assert.equal(CALL_NUMBERS.get('removexattrat'), 466)
  assert.equal(new Set(CALL_NUMBERS.values()).size, CALL_NUMBERS.size)
})
