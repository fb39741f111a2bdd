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
import { badOption } from '../option-values.ts'
import { readMachineFiles } from './read-machine-files.ts'

export interface MachineQuestion {
  readonly firmware: string
  readonly memoryMiB: number
  readonly cpus: number
  /** Where the rest is read: `emulated` by the QEMU at hand, or a folder of files. Absent: it stays unknown. */
  readonly source?:
    | { readonly kind: 'emulated' }
    | { readonly kind: 'files'; readonly folder: string }
  /** See {@link processorId}. An emulated machine has other processors than a TD, so without it SMBIOS stays unknown. */
  readonly processorId?: Uint8Array | undefined
  /** The firmware is of before edk2-stable202505. */
  readonly isOldFirmware?: boolean
}

export interface PredictedMachine {
  readonly events: readonly MachineEvent[]
  /** Hex; undefined where an event is unknown. */
  readonly rtmr0: string | undefined
}

/** @throws CloisterError `vm.machine-probe-failed`, `qemu.missing`, `cli.file-unreadable`, `guest-image.firmware-unfit` */
export async function predictMachine(
  question: MachineQuestion,
  signal: AbortSignal,
): Promise<PredictedMachine> {
  const { firmware, memoryMiB, isOldFirmware = false } = question
  const record = await recordOf(question, signal)
  try {
    const events = await predictMachineEvents({
      firmware: await readFile(firmware),
      memoryMiB,
      ...(record && { record }),
      firmwareEvents: isOldFirmware ? 'before-2025.05' : 'since-2025.05',
    })
    const register = await predictRtmr0(events)
    return { events, rtmr0: register && toHex(register) }
  } catch (cause) {
    if (!(cause instanceof FormatError || cause instanceof RangeError)) throw cause
    throw new CloisterError('guest-image.firmware-unfit', { why: cause.message, cause })
  }
}

async function recordOf(
  { firmware, memoryMiB, cpus, source, processorId: id }: MachineQuestion,
  signal: AbortSignal,
): Promise<MachineRecord | undefined> {
  if (source === undefined) return undefined
  if (source.kind === 'files')
    return withProcessors(await readMachineFiles(source.folder), id, 'as recorded')
  const { askQemu } = await import('@cloister/launcher/qemu-capabilities')
  const { probeMachine } = await import('@cloister/launcher/machine-probe/probe-machine')
  const { program } = await askQemu()
  const machine = { firmware: resolve(firmware), cpus, memoryMiB }
  return withProcessors(await probeMachine(program, machine, signal), id, 'unknown')
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

/** 8 bytes as `dmidecode -t processor` prints them: `F8 06 08 00 FF FB 8B 1F`. @throws CloisterError `cli.usage` */
export function processorId(text: string | undefined): Uint8Array | undefined {
  if (text === undefined) return undefined
  const digits = text.replaceAll(' ', '')
  if (/^[0-9a-fA-F]{16}$/.test(digits)) return Buffer.from(digits, 'hex')
  throw badOption(
    '--processor-id is none',
    '8 bytes in hex, the ID in `dmidecode -t processor` of a TD on such processors',
    text,
  )
}
