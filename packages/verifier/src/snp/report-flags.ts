/** The three words of flags in an SNP report (AMD 56860: guest policy, PLATFORM_INFO, KEY_INFO). */

export interface GuestPolicy {
  readonly raw: bigint
  readonly abiMinor: number
  readonly abiMajor: number
  readonly smtAllowed: boolean
  readonly migrationAgentAllowed: boolean
  readonly debugAllowed: boolean
  readonly singleSocket: boolean
  readonly cxlAllowed: boolean
  readonly memAes256Xts: boolean
  readonly raplDisabled: boolean
  readonly ciphertextHiding: boolean
  readonly pageSwapDisabled: boolean
}

const POLICY_BITS = {
  smtAllowed: 16,
  migrationAgentAllowed: 18,
  debugAllowed: 19,
  singleSocket: 20,
  cxlAllowed: 21,
  memAes256Xts: 22,
  raplDisabled: 23,
  ciphertextHiding: 24,
  pageSwapDisabled: 25,
} as const

/** Bit 17 must be one. */
export const POLICY_RESERVED_ONE = 1n << 17n
export const POLICY_RESERVED_ZERO = ~((1n << 26n) - 1n) & 0xffff_ffff_ffff_ffffn

export function readGuestPolicy(raw: bigint): GuestPolicy {
  return {
    raw,
    abiMinor: Number(raw & 0xffn),
    abiMajor: Number((raw >> 8n) & 0xffn),
    ...flags(raw, POLICY_BITS),
  }
}

export interface PlatformInfo {
  readonly raw: bigint
  readonly smtEnabled: boolean
  readonly tsmeEnabled: boolean
  readonly eccEnabled: boolean
  readonly raplDisabled: boolean
  readonly ciphertextHidingEnabled: boolean
  readonly aliasCheckComplete: boolean
  /** The IOMMU's writes are checked (AMD-SB-3016); only newer firmware sets it. */
  readonly iommuWriteSafe: boolean
  readonly tioEnabled: boolean
}

const PLATFORM_BITS = {
  smtEnabled: 0,
  tsmeEnabled: 1,
  eccEnabled: 2,
  raplDisabled: 3,
  ciphertextHidingEnabled: 4,
  aliasCheckComplete: 5,
  iommuWriteSafe: 6,
  tioEnabled: 7,
} as const

export function readPlatformInfo(raw: bigint): PlatformInfo {
  return { raw, ...flags(raw, PLATFORM_BITS) }
}

export type SigningKey = 'vcek' | 'vlek' | 'none' | 'reserved'

export interface KeyInfo {
  readonly raw: number
  readonly authorKeyEnabled: boolean
  readonly chipKeyMasked: boolean
  readonly signingKey: SigningKey
}

export const KEY_INFO_RESERVED_ZERO = 0xffff_ffe0

export function readKeyInfo(raw: number): KeyInfo {
  return {
    raw,
    authorKeyEnabled: (raw & 1) !== 0,
    chipKeyMasked: (raw & 2) !== 0,
    signingKey: signingKey((raw >> 2) & 7),
  }
}

function signingKey(code: number): SigningKey {
  if (code === 0) return 'vcek'
  if (code === 1) return 'vlek'
  return code === 7 ? 'none' : 'reserved'
}

/** Flags beyond bit 31 have no name yet, so one 32-bit word holds all of them. */
function flags<Name extends string>(
  raw: bigint,
  bits: Readonly<Record<Name, number>>,
): Record<Name, boolean> {
  const word = Number(raw & 0xffff_ffffn)
  const named: Partial<Record<Name, boolean>> = {}
  for (const name in bits) named[name] = ((word >>> bits[name]) & 1) === 1
  return named as Record<Name, boolean>
}
