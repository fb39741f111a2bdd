/** What the simulated secure processor says of itself: plausible values of a Genoa machine with current firmware. */
import type { Tcb } from '@cloister/verifier/snp/tcb'

const FIRMWARE = { major: 1, minor: 55, build: 40 } as const
const TCB: Tcb = { fmc: null, bootloader: 10, tee: 0, snp: 27, microcode: 84 }

export const PLATFORM = {
  line: 'Genoa',
  processor: { family: 0x19, model: 0x11, stepping: 1 },
  firmware: FIRMWARE,
  tcb: TCB,
  /** SMT on, ECC memory, alias check complete. */
  platformInfo: 0x25n,
  /** SMT allowed, the bit that must be one, no debugging, no migration agent. */
  guestPolicy: 0x30000n,
} as const
