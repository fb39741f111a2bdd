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
  smtAllowed: 16n,
  migrationAgentAllowed: 18n,
  debugAllowed: 19n,
  singleSocket: 20n,
  cxlAllowed: 21n,
  memAes256Xts: 22n,
  raplDisabled: 23n,
  ciphertextHiding: 24n,
  pageSwapDisabled: 25n,
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
  readonly tioEnabled: boolean
}

const PLATFORM_BITS = {
  smtEnabled: 0n,
  tsmeEnabled: 1n,
  eccEnabled: 2n,
  raplDisabled: 3n,
  ciphertextHidingEnabled: 4n,
  aliasCheckComplete: 5n,
  tioEnabled: 7n,
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

function flags<Name extends string>(
  raw: bigint,
  bits: Readonly<Record<Name, bigint>>,
): Record<Name, boolean> {
  const entries = Object.entries<bigint>(bits).map(([name, bit]) => [
    name,
    ((raw >> bit) & 1n) === 1n,
  ])
  return Object.fromEntries(entries) as Record<Name, boolean>
}
