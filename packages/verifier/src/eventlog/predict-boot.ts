/**
 * What a boot through shim and GRUB will measure, as far as the disk and the Secure Boot variables tell it. What depends on the firmware's
 * version, the machine's hardware or built-in scripts of GRUB is left out, and so stays unknown until a boot was learned.
 */
import { concatBytes } from '../bytes/concat.ts'
import { toHex } from '../bytes/hex.ts'
import { toUtf8 } from '../bytes/text.ts'
import type { DigestAlgorithm } from '../crypto/crypto.ts'
import { authenticodeDigest } from '../formats/authenticode.ts'
import { guidToBytes } from '../formats/guid.ts'
import { hashDigest } from '../tpm/algorithms.ts'
import type { BootComponent, BootEvent } from './boot-events.ts'
import { EVENT_TYPE, eventTypeName } from './event-types.ts'
import { encodeGptEvent } from './gpt-event.ts'
import type { GptEvent } from './gpt-event.ts'
import type { BaselineRegister, IntegrityBaseline } from './integrity-baseline.ts'
import { SECURE_BOOT_VARIABLES } from './secure-boot.ts'

export interface BootFile {
  readonly component: BootComponent
  /** Where it stands, as a label. */
  readonly path: string
  readonly content: Uint8Array
}

export interface PredictionInput {
  /** PE images in the order in which they are started: shim, GRUB, kernel. */
  readonly images: readonly BootFile[]
  /** Whether nothing else is started after them; otherwise what follows is not known. */
  readonly isWholeChain: boolean
  /** Of the disk that the firmware boots from. */
  readonly table: GptEvent
  /** Everything that GRUB may read: its configurations and fonts, kernels, initial file systems. Empty: not known. */
  readonly files: readonly BootFile[]
  /** What follows the kernel's path and blank in GRUB's `linux` command, with both. Empty: not known. */
  readonly commandLines: readonly string[]
  /** Data of the variables `PK`, `KEK`, `db`, `dbx`. Absent: not known. */
  readonly secureBoot?: Readonly<Record<'PK' | 'KEK' | 'db' | 'dbx', Uint8Array>>
}

const BANK = 'sha256'
const BANK_ALGORITHM: DigestAlgorithm = 'SHA-256'
const CALLING = 'Calling EFI Application from Boot Option'
const EXIT = ['Exit Boot Services Invocation', 'Exit Boot Services Returned with Success']
const SECURE_BOOT_COMPONENTS = {
  SecureBoot: 'Secure Boot state',
  PK: 'Secure Boot PK',
  KEK: 'Secure Boot KEK',
  db: 'Secure Boot db',
  dbx: 'Secure Boot dbx',
} as const satisfies Record<string, BootComponent>

/** @throws FormatError when an image is no PE image */
export async function predictBoot(input: PredictionInput): Promise<IntegrityBaseline> {
  const { images, isWholeChain, table, files, commandLines, secureBoot } = input
  const separator = (pcr: number) =>
    event(pcr, 'separator', EVENT_TYPE.separator, new Uint8Array(4))
  const registers: BaselineRegister[] = []
  const started: BootEvent[] = [
    await event(4, 'firmware action', EVENT_TYPE.efiAction, toUtf8(CALLING), CALLING),
    await separator(4),
  ]
  for (const image of images) started.push(await application(image))
  registers.push({ pcr: 4, knowledge: isWholeChain ? 'sequence' : 'begins', events: started })
  const gpt = encodeGptEvent(table)
  const partitions = await event(5, 'partition table', EVENT_TYPE.gpt, gpt)
  const exits = EXIT.map((text) =>
    event(5, 'firmware action', EVENT_TYPE.efiAction, toUtf8(text), text),
  )
  registers.push({
    pcr: 5,
    knowledge: 'sequence',
    events: [
      await separator(5),
      { ...partitions, data: toHex(gpt) },
      ...(await Promise.all(exits)),
    ],
  })
  registers.push({ pcr: 6, knowledge: 'exact', events: [await separator(6)] })
  if (secureBoot !== undefined)
    registers.push({
      pcr: 7,
      knowledge: 'begins',
      events: [...(await variables(secureBoot)), await separator(7)],
    })
  if (commandLines.length > 0) {
    const lines = commandLines.map((line) =>
      event(8, 'kernel command line', EVENT_TYPE.ipl, toUtf8(line), line),
    )
    registers.push({ pcr: 8, knowledge: 'command-lines', events: await Promise.all(lines) })
  }
  if (files.length > 0) {
    const read = files.map(({ component, path, content }) =>
      event(9, component, EVENT_TYPE.ipl, content, path),
    )
    registers.push({ pcr: 9, knowledge: 'members', events: await Promise.all(read) })
  }
  return { version: 1, origin: 'predicted', bank: BANK, registers }
}

async function application({ component, path, content }: BootFile): Promise<BootEvent> {
  return {
    pcr: 4,
    component,
    event: eventTypeName(EVENT_TYPE.bootServicesApplication),
    digest: toHex(await authenticodeDigest(content, BANK_ALGORITHM)),
    subject: path,
  }
}

async function variables(
  secureBoot: NonNullable<PredictionInput['secureBoot']>,
): Promise<BootEvent[]> {
  const data = { SecureBoot: Uint8Array.of(1), ...secureBoot }
  const events: BootEvent[] = []
  for (const [name, vendor] of Object.entries(SECURE_BOOT_VARIABLES)) {
    const key = name as keyof typeof SECURE_BOOT_VARIABLES
    const bytes = variableData(vendor, name, data[key])
    events.push(
      await event(7, SECURE_BOOT_COMPONENTS[key], EVENT_TYPE.variableDriverConfig, bytes, name),
    )
  }
  return events
}

/** UEFI_VARIABLE_DATA. */
function variableData(vendor: string, name: string, data: Uint8Array): Uint8Array {
  const lengths = new DataView(new ArrayBuffer(16))
  lengths.setBigUint64(0, BigInt(name.length), true)
  lengths.setBigUint64(8, BigInt(data.length), true)
  const wide = new Uint8Array(name.length * 2)
  for (let index = 0; index < name.length; index++) wide[index * 2] = name.charCodeAt(index)
  return concatBytes(guidToBytes(vendor), new Uint8Array(lengths.buffer), wide, data)
}

async function event(
  pcr: number,
  component: BootComponent,
  type: number,
  measured: Uint8Array,
  subject?: string,
): Promise<BootEvent> {
  const digest = toHex(await hashDigest(BANK, measured))
  return { pcr, component, event: eventTypeName(type), digest, ...(subject && { subject }) }
}
