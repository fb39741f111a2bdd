/** Which attester a mode of the measured command line means. */
import { existsSync } from 'node:fs'
import { access } from 'node:fs/promises'
import type { Duplex } from 'node:stream'
import { CloisterError } from '@cloister/protocol/error'
import type { AttesterMode } from '@cloister/protocol/guest-names'
import { snpAttester, type MeasuredAttester } from './attester.ts'
import { CONFIGFS_TSM, configfsSource, tsmProvider, type TsmProvider } from './configfs-tsm.ts'
import { simulatedSource } from './simulated.ts'
import { tdxAttester } from './tdx.ts'

export interface AttesterPlaces {
  /** The simulator's port. Asked for only with {@link reportsFrom} the simulator. */
  readonly teePort: () => Duplex
  /** Whose reports the kernel gives. Absent: asks it. */
  readonly provider?: () => Promise<TsmProvider | undefined>
}

/** Devices of the guest drivers of SNP and TDX. */
export const TEE_DEVICES = { snp: '/dev/sev-guest', tdx: '/dev/tdx_guest' } as const

export function kernelHasTee(paths: readonly string[] = Object.values(TEE_DEVICES)): boolean {
  return paths.some((path) => existsSync(path))
}

export function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

/** Who answers for reports. */
export type ReportsFrom = 'kernel' | 'simulator'

/**
 * Hardware mode never opens the simulator's port; simulated mode stops where a real TEE is, for it would hide it.
 * A debug image takes what is there: its digests stand under no release policy.
 *
 * @param hasTee - whether the kernel offers a real TEE
 * @throws CloisterError `agent.tee-absent`, `agent.tee-unexpected`, `agent.mode-unknown`
 */
export function reportsFrom(mode: AttesterMode, hasTee: boolean): ReportsFrom {
  switch (mode) {
    case 'hardware':
      if (!hasTee) throw new CloisterError('agent.tee-absent')
      return 'kernel'
    case 'simulated':
      if (hasTee) throw new CloisterError('agent.tee-unexpected')
      return 'simulator'
    case 'debug':
      return hasTee ? 'kernel' : 'simulator'
    case 'probe':
      throw new CloisterError('agent.mode-unknown')
    default:
      return mode satisfies never
  }
}

export async function attesterFor(
  from: ReportsFrom,
  places: AttesterPlaces,
): Promise<MeasuredAttester> {
  if (from === 'kernel') return await hardwareAttester(places)
  return snpAttester(simulatedSource(places.teePort()))
}

/** That of SNP also where the kernel names none: then it says why there is no report. */
async function hardwareAttester({ provider = tsmProvider }: AttesterPlaces) {
  const isTdx = (await provider()) === 'tdx_guest'
  return isTdx ? tdxAttester() : snpAttester(configfsSource(CONFIGFS_TSM))
}
