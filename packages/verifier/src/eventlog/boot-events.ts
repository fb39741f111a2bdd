/**
 * The events of a measured boot by the part of the machine that they are about. Names and texts come from the log: only where a digest is of
 * them are they more than a label.
 */
import { equalBytes } from '../bytes/equal.ts'
import { toHex } from '../bytes/hex.ts'
import { toUtf8, withoutNuls } from '../bytes/text.ts'
import { hashDigest } from '../tpm/algorithms.ts'
import type { HashName } from '../tpm/algorithms.ts'
import { eventDetails } from './event-details.ts'
import { EVENT_TYPE, eventTypeName } from './event-types.ts'
import { digestOf } from './tcg-log.ts'
import type { TcgEvent, TcgLog } from './tcg-log.ts'

export const BOOT_COMPONENTS = [
  'firmware',
  'machine configuration',
  'boot order',
  'option ROM',
  'Secure Boot state',
  'Secure Boot PK',
  'Secure Boot KEK',
  'Secure Boot db',
  'Secure Boot dbx',
  'Secure Boot authority',
  'shim SBAT level',
  'machine owner keys',
  'shim',
  'grub',
  'boot loader',
  'partition table',
  'grub configuration',
  'grub command',
  'grub file',
  'kernel',
  'kernel command line',
  'initrd',
  'unified kernel image',
  'firmware action',
  'separator',
  'runtime event',
  'other',
] as const
export type BootComponent = (typeof BOOT_COMPONENTS)[number]

/** `pcr`: a TPM's numbering; `cc`: that of a CCEL. */
export type Numbering = 'pcr' | 'cc'

export function isBootComponent(name: string): name is BootComponent {
  return BOOT_COMPONENTS.some((known) => known === name)
}

export interface BootEvent {
  readonly pcr: number
  readonly component: BootComponent
  /** The specification's name of the event's type. */
  readonly event: string
  /** Of the chosen bank, hex. */
  readonly digest: string
  /** A variable's or file's name, a command: at most {@link MAX_SUBJECT} characters. Absent: there is none. */
  readonly subject?: string
  /** Hex of the data of a partition table, whose digest it is; absent for all others, and where the digest is not of it. */
  readonly data?: string
}

export const MAX_SUBJECT = 512
/** Longer tables are compared by digest alone. */
const MAX_KEPT_DATA = 8192
const SECURE_BOOT_VARIABLES: Readonly<Record<string, BootComponent>> = {
  SecureBoot: 'Secure Boot state',
  PK: 'Secure Boot PK',
  KEK: 'Secure Boot KEK',
  db: 'Secure Boot db',
  dbx: 'Secure Boot dbx',
}
/** With a colon as GRUB writes them, and without as some distributions do. */
const GRUB_COMMANDS = ['grub_cmd: ', 'grub_cmd '] as const
const COMMAND_LINES = ['kernel_cmdline: ', 'module_cmdline: ', 'grub_kernel_cmdline '] as const

/** In the order of the log; what is not extended is left out, and so are events without a digest of the bank. */
export async function bootEvents({ events }: TcgLog, bank: HashName): Promise<BootEvent[]> {
  const describe = bootDescriber(bank, 'pcr')
  const found: BootEvent[] = []
  for (const event of events) {
    const described = await describe(event)
    if (described !== undefined) found.push(described)
  }
  return found
}

/**
 * Takes the events of one log in their order; gives undefined for one that extends nothing or has no digest of the bank.
 *
 * @param numbering - `pcr`: a TPM's; `cc`: that of a CCEL, whose registers each stand for several PCRs
 */
export function bootDescriber(
  bank: HashName,
  numbering: Numbering,
): (event: TcgEvent) => Promise<BootEvent | undefined> {
  let afterGrub = false
  return async (event) => {
    const digest = digestOf(event, bank)
    if (event.type === EVENT_TYPE.noAction || digest === undefined) return undefined
    const pcr = numbering === 'pcr' ? event.index : pcrOfCcEvent(event)
    const { component, subject } = describe(event, pcr, afterGrub)
    if (component === 'grub') afterGrub = true
    const data = event.type === EVENT_TYPE.gpt && event.data.length <= MAX_KEPT_DATA
    const isOfData = data && equalBytes(await hashDigest(bank, event.data), digest)
    return {
      pcr: event.index,
      component,
      event: eventTypeName(event.type),
      digest: toHex(digest),
      ...(subject !== undefined && subject !== '' && { subject: subject.slice(0, MAX_SUBJECT) }),
      ...(isOfData && { data: toHex(event.data) }),
    }
  }
}

interface Description {
  readonly component: BootComponent
  readonly subject?: string | undefined
}

function describe(event: TcgEvent, pcr: number, afterGrub: boolean): Description {
  const { type, data } = event
  const details = eventDetails(type, data)
  const subject = details.unicode_name ?? details.string
  if (type === EVENT_TYPE.separator) return { component: 'separator' }
  if (details.data !== undefined) return { component: 'runtime event', subject: details.string }
  switch (pcr) {
    case 0:
    case 6:
      return { component: 'firmware', subject }
    case 1:
      return isBootVariable(subject)
        ? { component: 'boot order', subject }
        : { component: 'machine configuration', subject }
    case 2:
    case 3:
      return { component: 'option ROM', subject }
    case 4:
      return ofApplication(event, afterGrub)
    case 5:
      return type === EVENT_TYPE.gpt
        ? { component: 'partition table' }
        : { component: 'firmware action', subject }
    case 7:
      return ofSecureBoot(type, subject)
    case 8:
      return ofGrubCommand(data)
    case 9:
      return ofGrubFile(type, subject)
    case 11:
    case 12:
    case 13:
      return { component: 'unified kernel image', subject }
    case 14:
      return { component: 'machine owner keys', subject }
    default:
      return { component: 'other', subject }
  }
}

/** The PCR that a TPM would have had for an event of a CCEL: register 0 is MRTD, 1 to 4 are RTMR0 to RTMR3. */
function pcrOfCcEvent({ index, type, data }: TcgEvent): number {
  switch (index) {
    case 0:
      return 0
    case 1:
      return pcrOfFirmwareEvent(type, data)
    case 2:
      return pcrOfStartEvent(type, data)
    case 3:
      return pcrOfLoaderEvent(type, data)
    default:
      return RUNTIME_PCR
  }
}

/** RTMR0 merges PCRs 0, 1 and 7. */
function pcrOfFirmwareEvent(type: number, data: Uint8Array): number {
  if (type === EVENT_TYPE.platformFirmwareBlob2) return 0
  if (type === EVENT_TYPE.variableAuthority) return 7
  const name = eventDetails(type, data).unicode_name ?? ''
  return type === EVENT_TYPE.variableDriverConfig && Object.hasOwn(SECURE_BOOT_VARIABLES, name)
    ? 7
    : 1
}

/** RTMR1 merges PCRs 2 to 6, and some firmware measures its boot entries there. */
function pcrOfStartEvent(type: number, data: Uint8Array): number {
  if (type === EVENT_TYPE.gpt) return 5
  if (type === EVENT_TYPE.variableBoot || type === EVENT_TYPE.variableBoot2) return 1
  if (type === EVENT_TYPE.efiAction && startsWith(data, 'Exit Boot Services')) return 5
  return 4
}

/** RTMR2 merges PCRs 8 to 15. */
function pcrOfLoaderEvent(type: number, data: Uint8Array): number {
  if ([...GRUB_COMMANDS, ...COMMAND_LINES].some((prefix) => startsWith(data, prefix))) return 8
  const { string: name = '' } = eventDetails(type, data)
  if (name.startsWith('MokList')) return 14
  return UKI_SECTIONS.has(name) ? 11 : 9
}

const RUNTIME_PCR = 15
const UKI_SECTIONS: ReadonlySet<string> = new Set(
  'linux osrel cmdline initrd ucode splash dtb dtbauto uname sbat pcrpkey profile hwids efifw'.split(
    ' ',
  ),
)

function isBootVariable(name: string | undefined): boolean {
  return name !== undefined && /^Boot(?:Order|[0-9A-F]{4})$/.test(name)
}

/** GRUB hands the kernel to the firmware from memory: such an image has no path. */
function ofApplication({ type, data }: TcgEvent, afterGrub: boolean): Description {
  const details = eventDetails(type, data)
  if (type === EVENT_TYPE.platformFirmwareBlob2)
    return { component: 'kernel', subject: details.string }
  if (type === EVENT_TYPE.platformConfigFlags)
    return {
      component: 'kernel command line',
      subject: details.string?.replace('td_payload_info ', ''),
    }
  if (type !== EVENT_TYPE.bootServicesApplication)
    return { component: 'firmware action', subject: details.string }
  const file = details.device_paths?.find((text) => text.startsWith('File('))?.slice(5, -1)
  if (file === undefined) {
    const isFromMemory = details.device_paths === undefined || details.device_paths.length === 0
    if (isFromMemory && afterGrub) return { component: 'kernel' }
    return { component: 'boot loader', subject: details.device_paths?.join('/') }
  }
  const name = lastPart(file).toLowerCase()
  if (name.startsWith('grub')) return { component: 'grub', subject: file }
  if (name.startsWith('shim') || name === 'bootx64.efi') return { component: 'shim', subject: file }
  return { component: 'boot loader', subject: file }
}

function ofSecureBoot(type: number, name: string | undefined): Description {
  if (type === EVENT_TYPE.variableAuthority) {
    if (name === 'SbatLevel') return { component: 'shim SBAT level', subject: name }
    return { component: 'Secure Boot authority', subject: name }
  }
  return { component: (name && SECURE_BOOT_VARIABLES[name]) || 'Secure Boot state', subject: name }
}

function ofGrubCommand(data: Uint8Array): Description {
  for (const prefix of COMMAND_LINES)
    if (startsWith(data, prefix))
      return { component: 'kernel command line', subject: textAfter(data, prefix) }
  for (const prefix of GRUB_COMMANDS)
    if (startsWith(data, prefix))
      return { component: 'grub command', subject: textAfter(data, prefix) }
  return { component: 'other' }
}

function ofGrubFile(type: number, name = ''): Description {
  if (type !== EVENT_TYPE.ipl) {
    const isInitrd = /initrd/i.test(name)
    return { component: isInitrd ? 'initrd' : 'kernel command line', subject: name }
  }
  const file = lastPart(name).toLowerCase()
  if (/^(?:vmlinu|bzimage|kernel|linux)/.test(file)) return { component: 'kernel', subject: name }
  if (/^(?:initrd|initramfs)/.test(file)) return { component: 'initrd', subject: name }
  if (file.endsWith('.cfg') || file === 'grubenv')
    return { component: 'grub configuration', subject: name }
  return { component: 'grub file', subject: name }
}

/** Of a path, by either slash. Names have any length, so they are not split. */
function lastPart(path: string): string {
  return path.slice(Math.max(path.lastIndexOf('/'), path.lastIndexOf('\\')) + 1)
}

function startsWith(data: Uint8Array, prefix: string): boolean {
  return equalBytes(data.subarray(0, prefix.length), toUtf8(prefix))
}

function textAfter(data: Uint8Array, prefix: string): string {
  return withoutNuls(new TextDecoder().decode(data.subarray(prefix.length)))
}
