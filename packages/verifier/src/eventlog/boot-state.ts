/** What a replayed log says of the boot. Only digests, and data whose digest it is, are taken from it. */
import { equalBytes } from '../bytes/equal.ts'
import { FormatError } from '../bytes/format-error.ts'
import { toHex } from '../bytes/hex.ts'
import { toUtf8 } from '../bytes/text.ts'
import { hashDigest } from '../tpm/algorithms.ts'
import type { HashName } from '../tpm/algorithms.ts'
import { EVENT_TYPE } from './event-types.ts'
import { utf16 } from './uefi-variable.ts'
import type { VerifiedEvent } from './verified-event.ts'

const NON_HOST = toUtf8('GCE NonHostInfo\0')
const TECHNOLOGIES = ['none', 'sev', 'sev-es', 'tdx', 'sev-snp'] as const
const PREFIXES = ['grub_cmd: ', 'kernel_cmdline: ', 'module_cmdline: '] as const

export interface BootState {
  /** S_CRTM_VERSION as text, or in hex where it is none. */
  readonly firmwareVersion: string | null
  /** What the firmware believes to run on. The host chose the firmware: a hint, never proof of a TEE. */
  readonly firmwareTechnology: (typeof TECHNOLOGIES)[number] | 'unknown' | null
  /** Authenticode digests (hex) of the EFI applications, in order. */
  readonly applications: readonly string[]
  readonly grubCommands: readonly string[]
  readonly kernelCommandLines: readonly string[]
  /** Digests (hex) of files that GRUB read. Their names are not measured. */
  readonly grubFiles: readonly string[]
}

/** Registers by what firmware and GRUB measure into them. */
export interface RegisterMap {
  readonly firmware: number
  readonly applications: number
  readonly commands: number
  readonly files: number
}

export const PCR_MAP: RegisterMap = { firmware: 0, applications: 4, commands: 8, files: 9 }
/** A CCEL merges PCRs 2 to 6 into register 2 and 8 to 15 into register 3. PCR 0 is MRTD, which has no events. */
export const CC_MAP: RegisterMap = { firmware: 0, applications: 2, commands: 3, files: 3 }

export async function readBootState(
  events: readonly VerifiedEvent[],
  bank: HashName,
  map: RegisterMap,
): Promise<BootState> {
  const lines = await readCommands(
    events.filter(({ index, type }) => index === map.commands && type === EVENT_TYPE.ipl),
    bank,
  )
  const textOf = (...prefixes: readonly string[]) =>
    lines.filter(({ prefix }) => prefixes.includes(prefix)).map(({ text }) => text)
  const ofFirmware = events.filter(({ index, verified }) => index === map.firmware && verified)
  return {
    firmwareVersion: readVersion(ofFirmware),
    firmwareTechnology: readTechnology(ofFirmware),
    applications: events.filter((event) => isApplication(event, map)).map(hexDigest),
    grubCommands: textOf('grub_cmd: '),
    kernelCommandLines: textOf('kernel_cmdline: ', 'module_cmdline: '),
    grubFiles:
      map.files === map.commands
        ? []
        : events
            .filter(({ index, type }) => index === map.files && type === EVENT_TYPE.ipl)
            .map(hexDigest),
  }
}

export function isApplication({ index, type }: VerifiedEvent, map: RegisterMap): boolean {
  return index === map.applications && type === EVENT_TYPE.bootServicesApplication
}

function readVersion(events: readonly VerifiedEvent[]): string | null {
  const data = events.find(({ type }) => type === EVENT_TYPE.crtmVersion)?.data
  if (data === undefined) return null
  try {
    const text = utf16(data).replace(/\0$/, '')
    return /^[\x20-\x7e]+$/.test(text) ? text : toHex(data)
  } catch (error) {
    if (error instanceof FormatError) return toHex(data)
    throw error
  }
}

function readTechnology(events: readonly VerifiedEvent[]): BootState['firmwareTechnology'] {
  const data = events.find(
    ({ type, data }) =>
      type === EVENT_TYPE.nonHostInfo && equalBytes(data.subarray(0, NON_HOST.length), NON_HOST),
  )?.data
  if (data === undefined) return null
  return TECHNOLOGIES[data[NON_HOST.length] ?? 0xff] ?? 'unknown'
}

/** GRUB digests the text behind the prefix, without the final NUL. Other events are no commands. */
async function readCommands(
  events: readonly VerifiedEvent[],
  bank: HashName,
): Promise<{ prefix: string; text: string }[]> {
  const lines: { prefix: string; text: string }[] = []
  for (const { data, digest } of events) {
    const prefix = PREFIXES.find((candidate) =>
      equalBytes(data.subarray(0, candidate.length), toUtf8(candidate)),
    )
    if (prefix === undefined) continue
    const end = data.at(-1) === 0 ? data.length - 1 : data.length
    const line = data.subarray(prefix.length, end)
    if (equalBytes(await hashDigest(bank, line), digest))
      lines.push({ prefix, text: new TextDecoder().decode(line) })
  }
  return lines
}

function hexDigest({ digest }: VerifiedEvent): string {
  return toHex(digest)
}
