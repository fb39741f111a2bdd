/** The best way that a VM has to prove itself: a TEE by the kernel, else the TPM. Never the simulator: there is none in such a VM. */
import { snpAttester, type Attester } from '../attesters/attester.ts'
import { CONFIGFS_TSM, configfsSource, tsmProvider } from '../attesters/configfs-tsm.ts'
import { isThere, TEE_DEVICES } from '../attesters/table.ts'
import { configfsQuotes, tdxAttester } from '../attesters/tdx.ts'
import { vtpmAttester, type VtpmAttester } from '../attesters/vtpm.ts'
import { openTpmDevice, TPM_DEVICE } from '../tpm/device.ts'
import { snpDeviceSource, tdxDeviceSource } from './tee-device.ts'

export interface FoundAttester {
  readonly attester: Attester
  /** The same, where its key must be certified first. */
  readonly tpm?: VtpmAttester
}

export interface AttesterSearch {
  readonly tsmDirectory?: string
  readonly tpmDevice?: string
  /** Of the guest drivers; asked only where the kernel has no configfs-tsm. */
  readonly teeDevices?: Readonly<Record<'snp' | 'tdx', string>>
}

/** @throws CloisterError `agent.tpm-absent`. In a TEE never the TPM: it would say less than what the VM is. */
export async function findAttester(search: AttesterSearch = {}): Promise<FoundAttester> {
  const { tsmDirectory = CONFIGFS_TSM, tpmDevice = TPM_DEVICE, teeDevices = TEE_DEVICES } = search
  switch (await tsmProvider(tsmDirectory)) {
    case 'sev_guest':
      return { attester: snpAttester(configfsSource(tsmDirectory)) }
    case 'tdx_guest':
      return { attester: tdxAttester(configfsQuotes(tsmDirectory)) }
    default:
      break
  }
  if (await isThere(teeDevices.snp))
    return { attester: snpAttester(snpDeviceSource({ device: teeDevices.snp })) }
  if (await isThere(teeDevices.tdx))
    return { attester: tdxAttester(tdxDeviceSource({ device: teeDevices.tdx })) }
  const tpm = await vtpmAttester({ device: await openTpmDevice(tpmDevice) })
  return { attester: tpm, tpm }
}
