/** Checks a caller's policy for names that nobody reads and values of another kind; the tables cannot miss one that the types have. */
import { COUNT, FLAG, OBJECT, TEXTS, checkPolicy, listOf, oneOf } from '../result/policy-values.ts'
import type { PolicyRules } from '../result/policy-values.ts'
import type { SnpPolicy } from './policy.ts'
import { PRODUCT_LINES } from './product.ts'
import type { ProductLine } from './product.ts'
import type { FirmwareVersion } from './report.ts'
import { TCB_PRESETS } from './tcb-presets.ts'
import type { Tcb } from './tcb.ts'

const POLICY: PolicyRules<SnpPolicy> = {
  vmpl: oneOf(0, 1, 2, 3, 'any'),
  allowDebugGuest: FLAG,
  allowMigrationAgent: FLAG,
  allowCxl: FLAG,
  allowSmt: FLAG,
  requireGuestPolicy: listOf(
    'singleSocket',
    'memAes256Xts',
    'raplDisabled',
    'ciphertextHiding',
    'pageSwapDisabled',
  ),
  requirePlatform: listOf(
    'smtDisabled',
    'tsmeEnabled',
    'eccEnabled',
    'raplDisabled',
    'ciphertextHidingEnabled',
    'aliasCheckComplete',
    'iommuWriteSafe',
    'tioDisabled',
  ),
  minimumAbi: OBJECT,
  minimumTcb: OBJECT,
  minimumTcbPreset: oneOf(...Object.keys(TCB_PRESETS)),
  minimumLaunchTcb: OBJECT,
  minimumFirmware: OBJECT,
  minimumGuestSvn: COUNT,
  requireMitigations: {
    says: 'a whole number from 0',
    holds: (value) =>
      (typeof value === 'bigint' && value >= 0n) ||
      (Number.isSafeInteger(value) && COUNT.holds(value)),
  },
  refuseProvisionalFirmware: FLAG,
  allowedChips: TEXTS,
  enrolledChips: TEXTS,
  allowMaskedChipId: FLAG,
  allowedCspIds: TEXTS,
  distrustedLines: listOf(...PRODUCT_LINES),
  requireRevocationList: FLAG,
  allowUnknownReservedBits: FLAG,
}

const LINES: PolicyRules<Record<ProductLine, unknown>> = {
  Milan: OBJECT,
  Genoa: OBJECT,
  Turin: OBJECT,
}

const COMPONENTS: PolicyRules<Tcb> = {
  fmc: { says: 'a number from 0, or null', holds: (value) => value === null || COUNT.holds(value) },
  bootloader: COUNT,
  tee: COUNT,
  snp: COUNT,
  microcode: COUNT,
}

const FIRMWARE: PolicyRules<FirmwareVersion> = { major: COUNT, minor: COUNT, build: COUNT }

/** @throws TypeError */
export function checkSnpPolicy(policy: SnpPolicy): void {
  checkPolicy(policy, POLICY)
  const { minimumAbi, minimumFirmware = {} } = policy
  if (minimumAbi !== undefined)
    checkWhole(minimumAbi, { major: COUNT, minor: COUNT }, 'policy.minimumAbi')
  checkPolicy(minimumFirmware, LINES, 'policy.minimumFirmware')
  for (const [line, version] of Object.entries(minimumFirmware))
    checkWhole(version, FIRMWARE, `policy.minimumFirmware.${line}`)
  for (const name of ['minimumTcb', 'minimumLaunchTcb'] as const) {
    const minimums = policy[name] ?? {}
    checkPolicy(minimums, LINES, `policy.${name}`)
    for (const [line, floor] of Object.entries(minimums))
      checkPolicy(floor, COMPONENTS, `policy.${name}.${line}`)
  }
}

/** A version of which a part is missing is no minimum. */
function checkWhole<Value extends object>(
  value: Value,
  rules: PolicyRules<Value>,
  what: string,
): void {
  checkPolicy(value, rules, what)
  const missing = Object.keys(rules).find((name) => !Object.hasOwn(value, name))
  if (missing !== undefined) throw new TypeError(`${what}.${missing} is missing`)
}
