import type { ExpectedBytes } from '../result/expectation.ts'
import type { ProductLine } from './product.ts'
import type { FirmwareVersion } from './report.ts'
import type { TcbPreset } from './tcb-presets.ts'
import type { Tcb } from './tcb.ts'

/** Reference Values of one guest. Leaving out one of the first three is an error; `'any'` skips it and shows in the result. */
export interface SnpExpect {
  /** 64 bytes. */
  readonly reportData: ExpectedBytes
  /** 48 bytes: launch digests. */
  readonly measurement: ExpectedBytes
  /** 32 bytes. */
  readonly hostData: ExpectedBytes
  /** 16 bytes, from the ID block. Absent means not checked, and the result says so; likewise all below. */
  readonly familyId?: ExpectedBytes
  /** 16 bytes. */
  readonly imageId?: ExpectedBytes
  /** 48 bytes: SHA-384 of accepted ID keys. */
  readonly idKeyDigest?: ExpectedBytes
  /** 48 bytes: SHA-384 of accepted author keys; implies that the author key is in use. */
  readonly authorKeyDigest?: ExpectedBytes
  /** 32 bytes. */
  readonly reportId?: ExpectedBytes
}

/** Appraisal Policy. Whatever is absent is at its strictest sensible value; what weakens a check is named for the danger. */
export interface SnpPolicy {
  /** Accepted VMPL; 0 when absent. */
  readonly vmpl?: number | 'any'
  /** The host may then read and change the guest. */
  readonly allowDebugGuest?: boolean
  readonly allowMigrationAgent?: boolean
  readonly allowCxl?: boolean
  /** Absent means allowed, as nearly every host has it on. */
  readonly allowSmt?: boolean
  /** Guest policy bits that must be set. */
  readonly requireGuestPolicy?: readonly RequiredGuestPolicy[]
  /** Platform options that must be on, e.g. `aliasCheckComplete` against BadRAM. */
  readonly requirePlatform?: readonly RequiredPlatform[]
  /** The least firmware ABI that the guest policy must demand. */
  readonly minimumAbi?: { readonly major: number; readonly minor: number }
  /** Least components of reported, committed, current and launch TCB per line; a line without an entry is then refused. */
  readonly minimumTcb?: Partial<Record<ProductLine, Partial<Tcb>>>
  /**
   * Minimums of that date by AMD's bulletins, for all four TCBs and beside `minimumTcb`; a processor for which it has no figure is refused, and so are
   * reports of version 2, which name no processor.
   */
  readonly minimumTcbPreset?: TcbPreset
  /** Replaces `minimumTcb` for the launch TCB. */
  readonly minimumLaunchTcb?: Partial<Record<ProductLine, Partial<Tcb>>>
  /** Least firmware version, current and committed, per line; a line without an entry is then refused. */
  readonly minimumFirmware?: Partial<Record<ProductLine, FirmwareVersion>>
  readonly minimumGuestSvn?: number
  /** Bits that both mitigation vectors must have; reports before version 5 then fail. */
  readonly requireMitigations?: bigint | number
  /** Refuses firmware or microcode that the platform has not committed to, and may so roll back; else that is a warning. */
  readonly refuseProvisionalFirmware?: boolean
  /** Chip ids (hex, 64 bytes, or the 8 of Turin) of which the report's must be one. */
  readonly allowedChips?: readonly string[]
  /** Chip ids that somebody vouches for: lifts the warning on Milan. */
  readonly enrolledChips?: readonly string[]
  /** Accepts a report that hides its chip, with a warning. */
  readonly allowMaskedChipId?: boolean
  /** Cloud providers accepted in a VLEK; absent means any. */
  readonly allowedCspIds?: readonly string[]
  readonly distrustedLines?: readonly ProductLine[]
  /** A missing revocation list leaves the Evidence undecided. */
  readonly requireRevocationList?: boolean
  /** Accepts reports of firmware newer than this verifier knows, with a warning. */
  readonly allowUnknownReservedBits?: boolean
}

export type RequiredGuestPolicy =
  | 'singleSocket'
  | 'memAes256Xts'
  | 'raplDisabled'
  | 'ciphertextHiding'
  | 'pageSwapDisabled'

export type RequiredPlatform =
  | 'smtDisabled'
  | 'tsmeEnabled'
  | 'eccEnabled'
  | 'raplDisabled'
  | 'ciphertextHidingEnabled'
  | 'aliasCheckComplete'
  | 'iommuWriteSafe'
  | 'tioDisabled'
