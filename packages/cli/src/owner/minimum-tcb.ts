/**
 * The least TCB that `verified` means and that `run` writes into release policies: what AMD's bulletins of that date name as mended, by processor. A
 * processor without a figure in it is `degraded` and gets nothing, until its owner applies a policy of their own (`cloister policy apply`).
 */
import type { ReleasePolicyInput } from '@cloister/protocol/broker-admin-api'
import type { TcbPreset } from '@cloister/verifier/snp/tcb-presets'

export const DEFAULT_TCB_PRESET = '2026-04' satisfies TcbPreset

/** Of the simulated processor, which calls itself a Genoa: it protects nothing, whatever it says of its firmware. */
export const SIMULATED_MINIMUM_TCB = {
  Genoa: { bootloader: 0, tee: 0, snp: 0x17, microcode: 0x54 },
} as const satisfies ReleasePolicyInput['minimumTcb']
