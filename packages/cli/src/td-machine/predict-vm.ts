/** The machine of a VM under TDX, before it boots: as far as the QEMU here shows it; where it shows nothing, what firmware and memory tell. */
import { loadGuestImage } from '@cloister/image/images'
import { CloisterError } from '@cloister/protocol/error'
import { predictMachine, type PredictedMachine } from './predict-machine.ts'

export interface VmMachine {
  readonly cpus: number
  readonly memoryMiB: number
  /** Of the host's processors, 8 bytes. Absent: SMBIOS stays unknown, unless files show it. */
  readonly processorId: Uint8Array | undefined
  /** Folder of what a guest of such a machine shows. Absent: the QEMU here shows it. */
  readonly machineFiles: string | undefined
  /** Of its boot bundle. */
  readonly bundleDirectory: string
}

/**
 * @returns undefined where the bundle has no firmware for TDX
 * @throws CloisterError `guest-image.*`, `cli.file-unreadable`
 */
export async function predictVmMachine(
  { cpus, memoryMiB, processorId, machineFiles, bundleDirectory }: VmMachine,
  { talk, signal }: { readonly talk: (line: string) => void; readonly signal: AbortSignal },
): Promise<PredictedMachine | undefined> {
  const { paths } = await loadGuestImage(bundleDirectory)
  const { tdxFirmware: firmware } = paths
  if (firmware === undefined) return undefined
  const question = { firmware, cpus, memoryMiB, processorId }
  if (machineFiles !== undefined)
    return await predictMachine(
      { ...question, source: { kind: 'files', folder: machineFiles } },
      signal,
    )
  try {
    return await predictMachine({ ...question, source: { kind: 'emulated' } }, signal)
  } catch (error) {
    if (!(error instanceof CloisterError) || !UNTRIED.has(error.code)) throw error
    talk(
      `        the TD's machine was not tried out here: ${error.details.received ?? error.message}`,
    )
    return await predictMachine(question, signal)
  }
}

/** What a QEMU that cannot play the machine comes to. */
const UNTRIED: ReadonlySet<string> = new Set(['vm.machine-probe-failed', 'qemu.missing'])
