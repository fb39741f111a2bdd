/**
 * Versions of the firmware of SEV and SEV-ES. LAUNCH_MEASURE makes its measure over them (AMD 55766), under a key that only this firmware and the owner hold, so a
 * host cannot claim another one.
 */

/** A byte each. */
export interface SevFirmware {
  readonly major: number
  readonly minor: number
  readonly build: number
}

/**
 * The first without CVE-2019-9836: before, a host could work out the private key of the platform by points that are not on the curve, and with it open
 * every session, and make every measure. 0.17 build 11 has it, 0.17 build 22 has not.
 */
export const SEV_MINIMUM_FIRMWARE: SevFirmware = { major: 0, minor: 17, build: 22 }

/** Builds are counted within an API version. */
export function isAtLeastFirmware(firmware: SevFirmware, minimum: SevFirmware): boolean {
  const { major, minor, build } = firmware
  if (major !== minimum.major) return major > minimum.major
  if (minor !== minimum.minor) return minor > minimum.minor
  return build >= minimum.build
}

/** `MAJOR.MINOR.BUILD` in decimal. @returns undefined for any other text */
export function parseSevFirmware(text: string): SevFirmware | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)
  if (match === null) return undefined
  const [major = NaN, minor = NaN, build = NaN] = match.slice(1).map(Number)
  return [major, minor, build].every((part) => part <= 255) ? { major, minor, build } : undefined
}
