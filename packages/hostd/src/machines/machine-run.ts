/** A QEMU that runs, and what hostd holds of it: the agent's link, the console with its log, the watch over its disk. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Vm, VmState } from '@cloister/launcher/vm-spec'
import type { Backend } from '../backend.ts'
import { LogRing } from '../log-ring.ts'
import type { Carrier } from '../carriers.ts'
import type { Guest } from '../guest.ts'
import { DiskFullWatch } from './disk-full-watch.ts'
import type { MachineConsole } from './machine-console.ts'
import type { MachineRecord } from './machine-record.ts'

export interface MachineRun {
  readonly vm: Vm
  readonly guest: Guest
  /** What the guest reaches; each stream that it opens looks here. */
  readonly carriers: Map<string, Carrier>
  readonly console: MachineConsole
  readonly ring: LogRing
  readonly disk: DiskFullWatch
}

export interface RunPlaces {
  /** Of the console's log. */
  readonly console: string
  /** On the disk that the machine's own disk lies on. */
  readonly folder: string
  readonly targets: MachineRecord['targets']
}

export interface RunListener {
  readonly onAgent: () => void
  readonly onDiskFull: () => void
  readonly onResumed: () => void
  readonly log: (error: unknown) => void
}

export async function openRun(
  vm: Vm,
  { console: consoleFolder, folder, targets }: RunPlaces,
  { onAgent, onDiskFull, onResumed, log }: RunListener,
): Promise<MachineRun> {
  // Loaded when the first machine runs: an idle hostd stays small.
  const { Guest } = await import('../guest.ts')
  const { carriersFor } = await import('../carriers.ts')
  const { MachineConsole } = await import('./machine-console.ts')
  const ring = await LogRing.open(consoleFolder)
  const carriers = await carriersFor(targets)
  const guest = new Guest(vm, carriers, onAgent)
  const console = new MachineConsole(vm.sockets.console, ring)
  const disk = new DiskFullWatch({ vm, folder, onFull: onDiskFull, onResumed, log })
  return { vm, guest, carriers, console, ring, disk }
}

const ADOPT_ATTEMPTS = 3
const ADOPT_PAUSE_MS = 500

/** Takes up a QEMU that a hostd before this one started; one that cannot be had is ended. @returns undefined when it is gone */
export async function adoptRun(backend: Backend, state: VmState): Promise<Vm | undefined> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await backend.adoptVm(state)
    } catch (error) {
      if (attempt === ADOPT_ATTEMPTS) {
        await backend.discardVm(state)
        throw error
      }
      await sleep(ADOPT_PAUSE_MS)
    }
  }
}
