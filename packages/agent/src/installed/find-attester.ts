/** The best way that a VM has to prove itself: a TEE by the kernel, else the TPM. Never the simulator: there is none in such a VM. */
import { CloisterError } from '@cloister/protocol/error'
import { snpAttester, type Attester } from '../attesters/attester.ts'
import { CONFIGFS_TSM, configfsSource, tsmProvider } from '../attesters/configfs-tsm.ts'
import { kernelHasTee } from '../attesters/table.ts'
import { tdxAttester } from '../attesters/tdx.ts'
import { vtpmAttester, type VtpmAttester } from '../attesters/vtpm.ts'
import { openTpmDevice, TPM_DEVICE } from '../tpm/device.ts'

export interface FoundAttester {
  readonly attester: Attester
  /** The same, where its key must be certified first. */
  readonly tpm?: VtpmAttester
}

export interface AttesterSearch {
  readonly tsmDirectory?: string
  readonly tpmDevice?: string
  readonly hasTee?: () => Promise<boolean>
}

/**
 * @throws CloisterError `agent.tee-unusable` in a TEE whose kernel has no configfs-tsm: its TPM would say less than what the VM is; `agent.tpm-absent`
 */
export async function findAttester(search: AttesterSearch = {}): Promise<FoundAttester> {
  const { tsmDirectory = CONFIGFS_TSM, tpmDevice = TPM_DEVICE, hasTee = kernelHasTee } = search
  switch (await tsmProvider(tsmDirectory)) {
    case 'sev_guest':
      return { attester: snpAttester(configfsSource(tsmDirectory)) }
    case 'tdx_guest':
      return { attester: tdxAttester(tsmDirectory) }
    default:
      break
  }
  if (await hasTee()) throw new CloisterError('agent.tee-unusable')
  const tpm = await vtpmAttester({ device: await openTpmDevice(tpmDevice) })
  return { attester: tpm, tpm }
}
