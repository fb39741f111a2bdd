/**
 * What a boot through shim and GRUB will measure, as far as the disk, the firmware and the Secure Boot variables tell it. What depends on the machine's
 * hardware or built-in scripts of GRUB stays unknown until a boot was learned, and the baseline says why.
 */
import { FormatError } from '../bytes/format-error.ts'
import { toHex } from '../bytes/hex.ts'
import { toUtf8 } from '../bytes/text.ts'
import type { DigestAlgorithm } from '../crypto/crypto.ts'
import { authenticodeDigest } from '../formats/authenticode.ts'
import { parseCertificate } from '../formats/x509-certificate.ts'
import { hashDigest } from '../tpm/algorithms.ts'
import type { BootComponent, BootEvent } from './boot-events.ts'
import { EVENT_TYPE, eventTypeName } from './event-types.ts'
import { encodeGptEvent } from './gpt-event.ts'
import type { GptEvent } from './gpt-event.ts'
import type { BaselineRegister, IntegrityBaseline, UnknownRegister } from './integrity-baseline.ts'
import { SECURE_BOOT_VARIABLES } from './secure-boot.ts'
import { dbAuthority, shimMeasurements, SHIM_LOCK } from './shim-measurements.ts'
import type { ShimMeasurements } from './shim-measurements.ts'
import { encodeUefiVariable, parseSignatureLists } from './uefi-variable.ts'

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
  /** What the firmware unpacks and measures: its PEI and its DXE volume. Absent: not known. */
  readonly firmwareVolumes?: readonly Uint8Array[]
  /** Data of the variables `PK`, `KEK`, `db`, `dbx`. Absent: not known. */
  readonly secureBoot?: Readonly<Record<'PK' | 'KEK' | 'db' | 'dbx', Uint8Array>>
}

/** The banks that the TPMs of VMs are made with. */
export type PredictedBank = 'sha256' | 'sha384'

const ALGORITHMS = { sha256: 'SHA-256', sha384: 'SHA-384' } as const satisfies Record<
  PredictedBank,
  DigestAlgorithm
>
const CALLING = 'Calling EFI Application from Boot Option'
const EXIT = ['Exit Boot Services Invocation', 'Exit Boot Services Returned with Success']
const SECURE_BOOT_COMPONENTS = {
  SecureBoot: 'Secure Boot state',
  PK: 'Secure Boot PK',
  KEK: 'Secure Boot KEK',
  db: 'Secure Boot db',
  dbx: 'Secure Boot dbx',
} as const satisfies Record<string, BootComponent>

/** Of a PCR whose value is not known before a boot. */
const WHY = {
  pei: 'the firmware measures its PEI volume after its code has written sizes of memory and numbers of vCPUs into it, and its version stands in settings of the build',
  noVolumes: 'the firmware is not at hand, or is not made as OVMF is',
  bootEntries: 'newer firmware measures tables of the machine there',
  noKeys: 'the Secure Boot variables are not at hand, or Secure Boot is off',
  authority:
    'the boot loader is no shim of a version whose measurements are known, or several keys could have signed it',
  chain:
    'what a boot loader starts is not known when it is no shim with GRUB and a kernel of the image',
  commands:
    'GRUB measures each command that it runs, also those built into it and what its scripts come to; only the kernel lines of its configuration are known',
  files: 'what another boot loader than GRUB reads is not known',
  lists: 'the boot loader is no shim of a version whose measurements are known',
} as const

/** @param bank - absent: SHA-256. @throws FormatError when an image is no PE image */
export async function predictBoot(
  input: PredictionInput,
  bank: PredictedBank = 'sha256',
): Promise<IntegrityBaseline> {
  const prediction = new Prediction(bank)
  const [first] = input.images
  const shim = first?.component === 'shim' ? shimMeasurements(first.content) : undefined
  await prediction.addFirmware(input)
  await prediction.addStarted(input)
  await prediction.addSecureBoot(input, shim)
  await prediction.addLoader(input)
  await prediction.addLists(shim)
  const { registers, unknown } = prediction
  const byPcr = (one: { pcr: number }, other: { pcr: number }) => one.pcr - other.pcr
  return {
    version: 1,
    origin: 'predicted',
    bank,
    registers: registers.toSorted(byPcr),
    unknown: unknown.toSorted(byPcr),
  }
}

class Prediction {
  readonly registers: BaselineRegister[] = []
  readonly unknown: UnknownRegister[] = []
  readonly #bank: PredictedBank

  constructor(bank: PredictedBank) {
    this.#bank = bank
  }

  /** PCRs 0 to 3 and 6. The machine has no option ROM. */
  async addFirmware({ firmwareVolumes }: PredictionInput): Promise<void> {
    const [pei, dxe, ...more] = firmwareVolumes ?? []
    if (pei !== undefined && dxe !== undefined && more.length === 0) {
      const blob = (content: Uint8Array, subject: string) =>
        this.#event(0, 'firmware', EVENT_TYPE.platformFirmwareBlob, content, subject)
      const events = [
        await this.#event(0, 'firmware', EVENT_TYPE.crtmVersion, new Uint8Array(2), 'version'),
        await blob(pei, 'PEI volume'),
        await blob(dxe, 'DXE volume'),
        await this.#separator(0),
      ]
      this.registers.push({ pcr: 0, knowledge: 'outline', events, open: [0, 1] })
      this.unknown.push({ pcr: 0, why: WHY.pei })
    } else this.unknown.push({ pcr: 0, why: WHY.noVolumes })
    this.registers.push({
      pcr: 1,
      knowledge: 'boot-entries',
      events: [await this.#separator(1)],
    })
    this.unknown.push({ pcr: 1, why: WHY.bootEntries })
    for (const pcr of [2, 3, 6])
      this.registers.push({ pcr, knowledge: 'exact', events: [await this.#separator(pcr)] })
  }

  /** PCRs 4 and 5. */
  async addStarted({ images, isWholeChain, table }: PredictionInput): Promise<void> {
    const started: BootEvent[] = [
      await this.#event(4, 'firmware action', EVENT_TYPE.efiAction, toUtf8(CALLING), CALLING),
      await this.#separator(4),
    ]
    for (const image of images) started.push(await this.#application(image))
    this.registers.push({
      pcr: 4,
      knowledge: isWholeChain ? 'sequence' : 'begins',
      events: started,
    })
    if (!isWholeChain) this.unknown.push({ pcr: 4, why: WHY.chain })
    const gpt = encodeGptEvent(table)
    const partitions = await this.#event(5, 'partition table', EVENT_TYPE.gpt, gpt)
    const events = [await this.#separator(5), { ...partitions, data: toHex(gpt) }]
    for (const text of EXIT)
      events.push(await this.#event(5, 'firmware action', EVENT_TYPE.efiAction, toUtf8(text), text))
    this.registers.push({ pcr: 5, knowledge: 'sequence', events })
  }

  /** PCR 7: the variables, then the authorities by which shim and GRUB start. */
  async addSecureBoot(
    { secureBoot, images: [shim] }: PredictionInput,
    measured: ShimMeasurements | undefined,
  ): Promise<void> {
    if (secureBoot === undefined) {
      this.unknown.push({ pcr: 7, why: WHY.noKeys })
      return
    }
    const events = [...(await this.#variables(secureBoot)), await this.#separator(7)]
    const authority = shim && dbAuthority(certificatesIn(secureBoot.db), shim.content)
    if (authority === undefined || measured === undefined) {
      this.registers.push({ pcr: 7, knowledge: 'begins', events })
      this.unknown.push({ pcr: 7, why: WHY.authority })
      return
    }
    const add = async (component: BootComponent, vendor: string, name: string, data: Uint8Array) =>
      events.push(
        await this.#event(
          7,
          component,
          EVENT_TYPE.variableAuthority,
          encodeUefiVariable({ vendor, name, data }),
          name,
        ),
      )
    await add('Secure Boot authority', SECURE_BOOT_VARIABLES.db, 'db', authority)
    await add('shim SBAT level', SHIM_LOCK, 'SbatLevel', measured.sbatLevel)
    await add('Secure Boot authority', SHIM_LOCK, 'MokListRT', measured.vendorAuthority)
    this.registers.push({ pcr: 7, knowledge: 'exact', events })
  }

  /** PCRs 8 and 9. */
  async addLoader({ commandLines, files }: PredictionInput): Promise<void> {
    this.unknown.push({ pcr: 8, why: WHY.commands })
    if (commandLines.length > 0) {
      const events: BootEvent[] = []
      for (const line of commandLines)
        events.push(await this.#event(8, 'kernel command line', EVENT_TYPE.ipl, toUtf8(line), line))
      this.registers.push({ pcr: 8, knowledge: 'command-lines', events })
    }
    if (files.length === 0) {
      this.unknown.push({ pcr: 9, why: WHY.files })
      return
    }
    const events: BootEvent[] = []
    for (const { component, path, content } of files)
      events.push(await this.#event(9, component, EVENT_TYPE.ipl, content, path))
    this.registers.push({ pcr: 9, knowledge: 'members', events })
  }

  /** PCR 14. */
  async addLists(measured: ShimMeasurements | undefined): Promise<void> {
    if (measured === undefined) {
      this.unknown.push({ pcr: 14, why: WHY.lists })
      return
    }
    const events: BootEvent[] = []
    for (const [name, data] of Object.entries(measured.lists))
      events.push(await this.#event(14, 'machine owner keys', EVENT_TYPE.ipl, data, name))
    this.registers.push({ pcr: 14, knowledge: 'exact', events })
  }

  async #application({ component, path, content }: BootFile): Promise<BootEvent> {
    return {
      pcr: 4,
      component,
      event: eventTypeName(EVENT_TYPE.bootServicesApplication),
      digest: toHex(await authenticodeDigest(content, ALGORITHMS[this.#bank])),
      subject: path,
    }
  }

  async #variables(secureBoot: NonNullable<PredictionInput['secureBoot']>): Promise<BootEvent[]> {
    const data = { SecureBoot: Uint8Array.of(1), ...secureBoot }
    const events: BootEvent[] = []
    for (const [name, vendor] of Object.entries(SECURE_BOOT_VARIABLES)) {
      const key = name as keyof typeof SECURE_BOOT_VARIABLES
      const bytes = encodeUefiVariable({ vendor, name, data: data[key] })
      const component = SECURE_BOOT_COMPONENTS[key]
      events.push(await this.#event(7, component, EVENT_TYPE.variableDriverConfig, bytes, name))
    }
    return events
  }

  #separator(pcr: number): Promise<BootEvent> {
    return this.#event(pcr, 'separator', EVENT_TYPE.separator, new Uint8Array(4))
  }

  async #event(
    pcr: number,
    component: BootComponent,
    type: number,
    measured: Uint8Array,
    subject?: string,
  ): Promise<BootEvent> {
    const digest = toHex(await hashDigest(this.#bank, measured))
    return { pcr, component, event: eventTypeName(type), digest, ...(subject && { subject }) }
  }
}

/** Certificates of a `db`. One that cannot be read signs nothing. */
function certificatesIn(db: Uint8Array) {
  return parseSignatureLists(db).flatMap(({ kind, owner, data }) => {
    if (kind !== 'x509') return []
    try {
      return [{ owner, certificate: data, subject: parseCertificate(data).subject.raw }]
    } catch (error) {
      if (error instanceof FormatError) return []
      throw error
    }
  })
}
