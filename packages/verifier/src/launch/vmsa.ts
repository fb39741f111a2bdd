/** The initial VMSA page of a vCPU as QEMU and KVM set it up (AMD 24593, appendix B). */

/** Of the boot processor; application processors start where the firmware says. */
export const BSP_ADDRESS = 0xffff_fff0

const PAGE = 4096

/** SEV_FEATURES bits; QEMU 9.1 and later ask for `snp` alone. */
export const SEV_FEATURES = { snp: 1n << 0n, debugSwap: 1n << 5n } as const

export interface VcpuState {
  /** First instruction: {@link BSP_ADDRESS} or the firmware's reset address. */
  readonly address: number
  /** CPUID leaf 1 EAX. */
  readonly signature: number
  readonly sevFeatures: bigint
}

interface Segment {
  readonly offset: number
  readonly attributes: number
  readonly selector?: number
  readonly base?: number
}

const DATA_SEGMENTS: readonly Segment[] = [0x00, 0x20, 0x30, 0x40, 0x50].map((offset) => ({
  offset,
  attributes: 0x93,
}))

export function encodeVmsa({
  address,
  signature,
  sevFeatures,
}: VcpuState): Uint8Array<ArrayBuffer> {
  const page = new Uint8Array(PAGE)
  const view = new DataView(page.buffer)
  const segments: readonly Segment[] = [
    ...DATA_SEGMENTS,
    { offset: 0x10, attributes: 0x9b, selector: 0xf000, base: (address & 0xffff_0000) >>> 0 },
    { offset: 0x60, attributes: 0 },
    { offset: 0x70, attributes: 0x82 },
    { offset: 0x80, attributes: 0 },
    { offset: 0x90, attributes: 0x8b },
  ]
  for (const { offset, attributes, selector = 0, base = 0 } of segments) {
    view.setUint16(offset, selector, true)
    view.setUint16(offset + 2, attributes, true)
    view.setUint32(offset + 4, 0xffff, true)
    view.setBigUint64(offset + 8, BigInt(base), true)
  }
  const registers: readonly (readonly [number, bigint])[] = [
    [0x0d0, 0x1000n], // EFER: SVME
    [0x148, 0x40n], // CR4: MCE
    [0x158, 0x10n], // CR0: ET
    [0x160, 0x400n], // DR7
    [0x168, 0xffff_0ff0n], // DR6
    [0x170, 0x2n], // RFLAGS
    [0x178, BigInt(address & 0xffff)], // RIP
    [0x268, 0x0007_0406_0007_0406n], // G_PAT
    [0x310, BigInt(signature)], // RDX
    [0x3b0, sevFeatures],
    [0x3e8, 1n], // XCR0
  ]
  for (const [offset, value] of registers) view.setBigUint64(offset, value, true)
  view.setUint32(0x408, 0x1f80, true) // MXCSR
  view.setUint16(0x410, 0x037f, true) // x87 FCW
  return page
}
