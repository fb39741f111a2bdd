/** Checks a caller's policy for names that nobody reads; the tables cannot miss one that the types have. */
import { refuseUnknownKeys } from '../result/known-keys.ts'
import type { SnpPolicy } from './policy.ts'
import type { ProductLine } from './product.ts'
import { TCB_PRESETS, isTcbPreset } from './tcb-presets.ts'
import type { Tcb } from './tcb.ts'

const POLICY: Readonly<Record<keyof SnpPolicy, true>> = {
  vmpl: true,
  allowDebugGuest: true,
  allowMigrationAgent: true,
  allowCxl: true,
  allowSmt: true,
  requireGuestPolicy: true,
  requirePlatform: true,
  minimumAbi: true,
  minimumTcb: true,
  minimumTcbPreset: true,
  minimumLaunchTcb: true,
  minimumFirmware: true,
  minimumGuestSvn: true,
  requireMitigations: true,
  refuseProvisionalFirmware: true,
  allowedChips: true,
  enrolledChips: true,
  allowMaskedChipId: true,
  allowedCspIds: true,
  distrustedLines: true,
  requireRevocationList: true,
  allowUnknownReservedBits: true,
}

const LINES: Readonly<Record<ProductLine, true>> = { Milan: true, Genoa: true, Turin: true }

const COMPONENTS: Readonly<Record<keyof Tcb, true>> = {
  fmc: true,
  bootloader: true,
  tee: true,
  snp: true,
  microcode: true,
}

/** @throws TypeError */
export function checkPolicyKeys(policy: SnpPolicy): void {
  refuseUnknownKeys('policy', policy, POLICY)
  const { minimumTcbPreset: preset } = policy
  if (preset !== undefined && !isTcbPreset(preset))
    throw new TypeError(`policy.minimumTcbPreset is none of ${Object.keys(TCB_PRESETS).join(', ')}`)
  refuseUnknownKeys('policy.minimumFirmware', policy.minimumFirmware ?? {}, LINES)
  for (const name of ['minimumTcb', 'minimumLaunchTcb'] as const) {
    const minimums = policy[name] ?? {}
    refuseUnknownKeys(`policy.${name}`, minimums, LINES)
    for (const [line, floor] of Object.entries(minimums))
      refuseUnknownKeys(`policy.${name}.${line}`, floor, COMPONENTS)
  }
}
