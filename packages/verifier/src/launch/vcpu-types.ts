/** CPU models of QEMU, each with CPUID leaf 1 EAX: it stands in RDX of the initial VMSA and so in the launch digest. */
const SIGNATURES = {
  EPYC: 0x800f12,
  'EPYC-v1': 0x800f12,
  'EPYC-v2': 0x800f12,
  'EPYC-v3': 0x800f12,
  'EPYC-v4': 0x800f12,
  'EPYC-IBPB': 0x800f12,
  'EPYC-Rome': 0x830f10,
  'EPYC-Rome-v1': 0x830f10,
  'EPYC-Rome-v2': 0x830f10,
  'EPYC-Rome-v3': 0x830f10,
  'EPYC-Rome-v4': 0x830f10,
  'EPYC-Milan': 0xa00f11,
  'EPYC-Milan-v1': 0xa00f11,
  'EPYC-Milan-v2': 0xa00f11,
  'EPYC-Milan-v3': 0xa00f11,
  'EPYC-Genoa': 0xa10f10,
  'EPYC-Genoa-v1': 0xa10f10,
  'EPYC-Genoa-v2': 0xa10f10,
  'EPYC-Turin': 0xb00f00,
  'EPYC-Turin-v1': 0xb00f00,
} as const satisfies Readonly<Record<string, number>>

export type VcpuType = keyof typeof SIGNATURES

export const VCPU_TYPES = Object.keys(SIGNATURES) as readonly VcpuType[]

export function isVcpuType(name: string): name is VcpuType {
  return Object.hasOwn(SIGNATURES, name)
}

/** @throws RangeError for a model that is not in the table */
export function vcpuSignature(type: VcpuType): number {
  if (!isVcpuType(type)) throw new RangeError(`unknown vCPU type "${String(type)}"`)
  return SIGNATURES[type]
}

/** CPUID leaf 1 EAX of any processor of family 0xF and up (AMD 24594). */
export function signatureOf(family: number, model: number, stepping: number): number {
  return ((family - 15) << 20) | ((model >> 4) << 16) | (0xf << 8) | ((model & 15) << 4) | stepping
}
