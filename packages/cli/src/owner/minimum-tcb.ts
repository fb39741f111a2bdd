/**
 * The least TCB that `run` writes into release policies, per processor line: what AMD's bulletins AMD-SB-3015 (BadRAM) and AMD-SB-3019
 * (EntrySign) name as mended. Bergamo and Siena count as Genoa and number their microcode otherwise, and Turin has no figure here:
 * for those an owner applies a policy of their own (`cloister policy apply`), and until then they get nothing.
 */
import type { ReleasePolicyInput } from '@cloister/protocol/broker-admin-api'

export const DEFAULT_MINIMUM_TCB = {
  Milan: { bootloader: 0, tee: 0, snp: 0x18, microcode: 0xdb },
  Genoa: { bootloader: 0, tee: 0, snp: 0x17, microcode: 0x54 },
} as const satisfies ReleasePolicyInput['minimumTcb']
