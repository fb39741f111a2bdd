/**
 * The events of RTMR0: what OVMF's IntelTdx build measures of the machine that QEMU made, in its order (EDK2 OvmfPkg: IntelTdx/TdxHelperLib,
 * Library/QemuFwCfgLib/QemuFwCfgCacheInit.c, Tcg/TdTcg2Dxe, AcpiPlatformDxe; MdeModulePkg: SmbiosMeasurementDxe). TD HOB, configuration volume and
 * separator follow from firmware and memory; the rest is read from a machine of the same kind.
 */
import { runtimeCrypto } from '#crypto'
import { fromUtf8 } from '../bytes/text.ts'
import { ByteReader } from '../bytes/reader.ts'
import { measuredSmbios } from '../formats/smbios.ts'
import { TDVF_SECTION, parseTdvf } from '../formats/tdvf.ts'
import {
  EFI_GLOBAL_VARIABLE,
  EFI_IMAGE_SECURITY_DATABASE,
  replayRtmr,
  separatorDigest,
  variableDigest,
} from './rtmr.ts'
import { encodeTdHob } from './td-hob.ts'

/** What QEMU and the firmware show of a machine: what the owner's QEMU gave under emulation, or what stands in a guest's /sys. */
export interface MachineRecord {
  /** By name, as `/sys/firmware/qemu_fw_cfg/by_name` has them. */
  readonly fwCfg: ReadonlyMap<string, Uint8Array>
  /** Item 0x0e, 2 bytes: whether `-boot menu=on`. */
  readonly bootMenu: Uint8Array
  /** As /sys/firmware/dmi/tables/DMI. Absent: not known. */
  readonly smbios?: Uint8Array
  /** By {@link variableKey}, without attributes. One that is not there is absent in the machine. */
  readonly variables: ReadonlyMap<string, Uint8Array>
}

export interface MachineInput {
  readonly firmware: Uint8Array
  readonly memoryMiB: number
  /** Absent: only what needs none is known. */
  readonly record?: MachineRecord
  /** Order and number of the events: since edk2-stable202505 (when absent), or as they were before. */
  readonly firmwareEvents?: 'since-2025.05' | 'before-2025.05'
}

export interface MachineEvent {
  /** What is measured: `TD HOB`, `etc/acpi/tables`, `BootOrder`. */
  readonly event: string
  /** 48 bytes. Absent: nothing here tells it. */
  readonly digest?: Uint8Array
}

const TABLE_LOADER = 'etc/table-loader'
const FW_CFG_NAME = 56
const LOADER_ENTRY = 128
const LOADER_ALLOCATE = 1
/** Those that the firmware reads once and keeps, in the order of its list; a size: others are passed over. */
const CACHED_FILES: readonly { readonly name: string; readonly size?: number }[] = [
  { name: 'etc/extra-pci-roots', size: 8 },
  { name: 'BootMenu' },
  { name: 'etc/boot-menu-wait', size: 2 },
  { name: 'etc/reserved-memory-end', size: 8 },
  { name: 'opt/ovmf/X-PciMmio64Mb' },
  { name: 'bootorder' },
]
const SECURE_BOOT = [
  ['SecureBoot', EFI_GLOBAL_VARIABLE],
  ['PK', EFI_GLOBAL_VARIABLE],
  ['KEK', EFI_GLOBAL_VARIABLE],
  ['db', EFI_IMAGE_SECURITY_DATABASE],
  ['dbx', EFI_IMAGE_SECURITY_DATABASE],
] as const
const BOOT_ORDER = 'BootOrder'
/** More than firmware that boots a kernel directly ever makes. */
const MAX_BOOT_ENTRIES = 64

/** @param vendor - lowercase GUID */
export function variableKey(name: string, vendor: string): string {
  return `${name}-${vendor}`
}

/**
 * In the order in which they are extended; `replayRtmr` of all digests is RTMR0, where all are known.
 *
 * @throws FormatError for firmware without TDX metadata and for a malformed record, RangeError for memory that is too small
 */
export async function predictMachineEvents(input: MachineInput): Promise<MachineEvent[]> {
  const { firmware, memoryMiB, record } = input
  const isNew = input.firmwareEvents !== 'before-2025.05'
  const sections = parseTdvf(firmware)
  const volume = sections.find(({ type }) => type === TDVF_SECTION.configuration)
  const { dataOffset = 0, dataSize = 0 } = volume ?? {}
  return [
    { event: 'TD HOB', digest: await sha384(encodeTdHob(sections, memoryMiB)) },
    {
      event: 'configuration volume',
      digest: await sha384(firmware.subarray(dataOffset, dataOffset + dataSize)),
    },
    ...(isNew ? await cachedFiles(record) : []),
    ...(await Promise.all(
      SECURE_BOOT.map(async ([name, vendor]) => ({
        event: name,
        ...(record && {
          digest: await variableDigest(vendor, name, variable(record, name, vendor)),
        }),
      })),
    )),
    { event: 'separator', digest: await separatorDigest() },
    ...(await acpiFiles(record)),
    ...(isNew ? [await smbios(record)] : []),
    ...(await bootEntries(record)),
  ]
}

/** RTMR0; undefined where not every event is known. */
export async function predictRtmr0(
  events: readonly MachineEvent[],
): Promise<Uint8Array | undefined> {
  const digests = events.flatMap(({ digest }) => digest ?? [])
  return digests.length === events.length ? await replayRtmr(digests) : undefined
}

async function cachedFiles(record: MachineRecord | undefined): Promise<MachineEvent[]> {
  if (record === undefined) return [{ event: 'BootMenu' }, { event: 'bootorder' }]
  const there = CACHED_FILES.flatMap(({ name, size }) => {
    const content = name === 'BootMenu' ? record.bootMenu : record.fwCfg.get(name)
    const isMeasured =
      content !== undefined && content.length > 0 && (size === undefined || content.length === size)
    return isMeasured ? [{ name, content }] : []
  })
  return await Promise.all(
    there.map(async ({ name, content }) => ({ event: name, digest: await sha384(content) })),
  )
}

/** The loader's script, then each file that it has the firmware read. */
async function acpiFiles(record: MachineRecord | undefined): Promise<MachineEvent[]> {
  const script = record?.fwCfg.get(TABLE_LOADER)
  const names = script === undefined ? ['etc/acpi/rsdp', 'etc/acpi/tables'] : allocatedFiles(script)
  return await Promise.all(
    [TABLE_LOADER, ...names].map(async (name) => {
      const content = record?.fwCfg.get(name)
      return { event: name, ...(content && { digest: await sha384(content) }) }
    }),
  )
}

/** Of QEMU's linker and loader script (QEMU hw/acpi/bios-linker-loader.c): entries of 128 bytes, a command and its operands. */
function allocatedFiles(script: Uint8Array): string[] {
  const reader = new ByteReader(TABLE_LOADER, script)
  const names: string[] = []
  while (reader.left > 0) {
    const entry = new ByteReader(TABLE_LOADER, reader.bytes(LOADER_ENTRY, 'entry'))
    if (entry.u32le('command') !== LOADER_ALLOCATE) continue
    const name = entry.bytes(FW_CFG_NAME, 'file')
    const end = name.indexOf(0)
    names.push(fromUtf8(TABLE_LOADER, 'file', end < 0 ? name : name.subarray(0, end)))
  }
  return names
}

async function smbios(record: MachineRecord | undefined): Promise<MachineEvent> {
  const tables = record?.smbios
  if (tables === undefined) return { event: 'SMBIOS' }
  return { event: 'SMBIOS', digest: await sha384(measuredSmbios(tables)) }
}

/** Of these variables the data alone is measured. */
async function bootEntries(record: MachineRecord | undefined): Promise<MachineEvent[]> {
  if (record === undefined) return [{ event: BOOT_ORDER }, { event: 'Boot0000' }]
  const order = variable(record, BOOT_ORDER, EFI_GLOBAL_VARIABLE)
  if (order === undefined) return []
  const reader = new ByteReader(BOOT_ORDER, order)
  if (order.length > MAX_BOOT_ENTRIES * 2) reader.fail('entries', 0, 'too many')
  const events: MachineEvent[] = [{ event: BOOT_ORDER, digest: await sha384(order) }]
  while (reader.left > 0) {
    const number = reader.u16le('entry').toString(16).toUpperCase().padStart(4, '0')
    const entry = variable(record, `Boot${number}`, EFI_GLOBAL_VARIABLE)
    // One that is named but not there is not measured.
    if (entry !== undefined) events.push({ event: `Boot${number}`, digest: await sha384(entry) })
  }
  return events
}

function variable(record: MachineRecord, name: string, vendor: string): Uint8Array | undefined {
  return record.variables.get(variableKey(name, vendor))
}

async function sha384(bytes: Uint8Array): Promise<Uint8Array> {
  return runtimeCrypto.digest('SHA-384', bytes)
}
