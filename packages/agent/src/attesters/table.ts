/** Which attester a mode of the measured command line means. */
import { access } from 'node:fs/promises'
import type { Duplex } from 'node:stream'
import { CloisterError } from '@cloister/protocol/error'
import type { AttesterMode } from '@cloister/protocol/guest-names'
import { snpAttester, type MeasuredAttester } from './attester.ts'
import { CONFIGFS_TSM, configfsSource, tsmProvider, type TsmProvider } from './configfs-tsm.ts'
import { simulatedSource } from './simulated.ts'
import { tdxAttester } from './tdx.ts'

export interface AttesterPlaces {
  /** Opens the simulator's port. Called in simulated and debug mode only. */
  readonly openTeePort: () => Promise<Duplex>
  /** Whether the kernel offers a real TEE. */
  readonly hasTee: () => Promise<boolean>
  /** Whose reports the kernel gives. Absent: asks it. */
  readonly provider?: () => Promise<TsmProvider | undefined>
}

/** Devices of the guest drivers of SNP and TDX. */
export const TEE_DEVICES = { snp: '/dev/sev-guest', tdx: '/dev/tdx_guest' } as const

export async function kernelHasTee(
  paths: readonly string[] = Object.values(TEE_DEVICES),
): Promise<boolean> {
  return (await Promise.all(paths.map(isThere))).includes(true)
}

export function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

/**
 * Hardware mode never opens the simulator's port; simulated mode stops where a real TEE is, for it would hide it.
 * A debug image takes what is there: its digests stand under no release policy.
 *
 * @throws CloisterError `agent.tee-absent`, `agent.tee-unexpected`, `agent.mode-unknown`
 */
export async function attesterFor(
  mode: AttesterMode,
  places: AttesterPlaces,
): Promise<MeasuredAttester> {
  const hasTee = await places.hasTee()
  switch (mode) {
    case 'hardware':
      if (!hasTee) throw new CloisterError('agent.tee-absent')
      return await hardwareAttester(places)
    case 'simulated':
      if (hasTee) throw new CloisterError('agent.tee-unexpected')
      return snpAttester(simulatedSource(await places.openTeePort()))
    case 'debug':
      return hasTee
        ? await hardwareAttester(places)
        : snpAttester(simulatedSource(await places.openTeePort()))
    case 'probe':
      throw new CloisterError('agent.mode-unknown')
    default:
      return mode satisfies never
  }
}

/** That of SNP also where the kernel names none: then it says why there is no report. */
async function hardwareAttester({ provider = tsmProvider }: AttesterPlaces) {
  const isTdx = (await provider()) === 'tdx_guest'
  return isTdx ? tdxAttester() : snpAttester(configfsSource(CONFIGFS_TSM))
}
