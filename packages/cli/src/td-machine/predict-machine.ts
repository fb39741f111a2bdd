/** The events of RTMR0 of a TD, as far as the owner's side can tell them: from firmware and memory, and from a machine of the same kind. */
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { CloisterError } from '@cloister/protocol/error'
import { FormatError } from '@cloister/verifier/bytes/format-error'
import { toHex } from '@cloister/verifier/bytes/hex'
import { withProcessorId } from '@cloister/verifier/formats/smbios'
import {
  predictMachineEvents,
  predictRtmr0,
  type MachineEvent,
  type MachineRecord,
} from '@cloister/verifier/tdx/machine-events'
import { readMachineFiles } from './read-machine-files.ts'

export interface MachineQuestion {
  readonly firmware: string
  readonly memoryMiB: number
  readonly cpus: number
  /** Where the rest is read: `emulated` by the QEMU at hand, or a folder of files. Absent: it stays unknown. */
  readonly source?:
    | { readonly kind: 'emulated' }
    | { readonly kind: 'files'; readonly folder: string }
  /** Signature and features, 8 bytes. An emulated machine has other processors than a TD, so without it SMBIOS stays unknown. */
  readonly processorId?: Uint8Array | undefined
  /** The firmware is of before edk2-stable202505. */
  readonly isOldFirmware?: boolean
}

export interface PredictedMachine {
  readonly events: readonly MachineEvent[]
  /** Hex; undefined where an event is unknown. */
  readonly rtmr0: string | undefined
  /** Why what the QEMU at hand shows was not taken. Absent: it was, or was not asked for. */
  readonly leftOut?: string
}

/** `tdx-guest` is there from this version on: no TD has tables of an older one. */
const FIRST_QEMU = { major: 10, minor: 1 } as const
/** Of QEMU alone; all else is of the firmware. */
const TABLES_OF_QEMU = /^etc\/(?:table-loader|acpi\/)/

/** @throws CloisterError `vm.machine-probe-failed`, `qemu.missing`, `cli.file-unreadable`, `guest-image.firmware-unfit` */
export async function predictMachine(
  question: MachineQuestion,
  signal: AbortSignal,
): Promise<PredictedMachine> {
  const { firmware, memoryMiB, isOldFirmware = false } = question
  const { record, leftOut } = await recordOf(question, signal)
  try {
    const events = await predictMachineEvents({
      firmware: await readFile(firmware),
      memoryMiB,
      ...(record && { record }),
      firmwareEvents: isOldFirmware ? 'before-2025.05' : 'since-2025.05',
    })
    const register = await predictRtmr0(events)
    return { events, rtmr0: register && toHex(register), ...(leftOut !== undefined && { leftOut }) }
  } catch (cause) {
    if (!(cause instanceof FormatError || cause instanceof RangeError)) throw cause
    throw new CloisterError('guest-image.firmware-unfit', { why: cause.message, cause })
  }
}

interface FoundRecord {
  readonly record?: MachineRecord
  readonly leftOut?: string
}

async function recordOf(
  { firmware, memoryMiB, cpus, source, processorId: id }: MachineQuestion,
  signal: AbortSignal,
): Promise<FoundRecord> {
  if (source === undefined) return {}
  if (source.kind === 'files')
    return { record: withProcessors(await readMachineFiles(source.folder), id, 'as recorded') }
  const { askQemu } = await import('@cloister/launcher/qemu-capabilities')
  const { probeMachine } = await import('@cloister/launcher/machine-probe/probe-machine')
  const { program, version } = await askQemu()
  const machine = { firmware: resolve(firmware), cpus, memoryMiB }
  return ofQemu(
    withProcessors(await probeMachine(program, machine, signal), id, 'unknown'),
    version,
  )
}

/** Without the tables of a QEMU that runs no TD: they would be of no machine that there is. */
export function ofQemu(
  record: MachineRecord,
  { major, minor }: { readonly major: number; readonly minor: number },
): FoundRecord {
  const { major: firstMajor, minor: firstMinor } = FIRST_QEMU
  if (major > firstMajor || (major === firstMajor && minor >= firstMinor)) return { record }
  const { bootMenu, variables } = record
  const fwCfg = new Map([...record.fwCfg].filter(([name]) => !TABLES_OF_QEMU.test(name)))
  return {
    record: { fwCfg, bootMenu, variables },
    leftOut: `ACPI tables and SMBIOS of the QEMU here are left out: it is ${major}.${minor}, and TDX hosts have ${firstMajor}.${firstMinor} or newer`,
  }
}

/** @param otherwise - what the processors in the record are where no id is given */
function withProcessors(
  { smbios, ...record }: MachineRecord,
  id: Uint8Array | undefined,
  otherwise: 'as recorded' | 'unknown',
): MachineRecord {
  if (smbios === undefined || (id === undefined && otherwise === 'unknown')) return record
  return { ...record, smbios: id === undefined ? smbios : withProcessorId(smbios, id) }
}
