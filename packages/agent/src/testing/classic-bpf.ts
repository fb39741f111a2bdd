/** A machine for classic BPF as the kernel takes it for seccomp, for tests. Sources: kernel/seccomp.c, net/core/filter.c. */

/** What the kernel tells of a system call. */
export interface SystemCall {
  readonly number: number
  /** Absent: x86-64. */
  readonly architecture?: number
  /** Absent: all 0. 64 bits each. */
  readonly args?: readonly bigint[]
}

export const AUDIT_ARCH_X86_64 = 0xc000_003e

/**
 * @param program - an array of `struct sock_filter`
 * @returns what the program gives, and the number of instructions that it took
 * @throws RangeError where the kernel would not have taken the program
 */
export function evaluate(program: Buffer, call: SystemCall): { value: number; steps: number } {
  const data = dataOf(call)
  let accumulator = 0
  let steps = 0
  for (let at = 0; ; at++) {
    const [code, jt, jf, k] = instruction(program, at)
    steps++
    const jump = (holds: boolean) => (at += holds ? jt : jf)
    switch (code) {
      case 0x20: // BPF_LD | BPF_W | BPF_ABS
        if (k % 4 !== 0) throw new RangeError(`loads from ${k}`)
        accumulator = data.readUInt32LE(k)
        break
      case 0x15: // BPF_JMP | BPF_JEQ | BPF_K
        jump(accumulator === k)
        break
      case 0x35: // BPF_JMP | BPF_JGE | BPF_K
        jump(accumulator >= k)
        break
      case 0x45: // BPF_JMP | BPF_JSET | BPF_K
        jump((accumulator & k) !== 0)
        break
      case 0x06: // BPF_RET | BPF_K
        return { value: k, steps }
      default:
        throw new RangeError(`instruction ${code}`)
    }
  }
}

/** `struct seccomp_data`. */
function dataOf({ number, architecture = AUDIT_ARCH_X86_64, args = [] }: SystemCall): Buffer {
  const data = Buffer.alloc(64)
  data.writeUInt32LE(number >>> 0, 0)
  data.writeUInt32LE(architecture, 4)
  for (const [index, value] of args.entries())
    data.writeBigUInt64LE(BigInt.asUintN(64, value), 16 + 8 * index)
  return data
}

function instruction(program: Buffer, at: number): [number, number, number, number] {
  const offset = at * 8
  return [
    program.readUInt16LE(offset),
    program.readUInt8(offset + 2),
    program.readUInt8(offset + 3),
    program.readUInt32LE(offset + 4),
  ]
}
