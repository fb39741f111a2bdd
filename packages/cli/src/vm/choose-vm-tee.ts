/** Which TEE a VM uses: what was asked for, else the best of this host; simulation and none only when asked for. */
import type { probeHost } from '@cloister/launcher/probe/probe-host'
import type { Directories } from '@cloister/protocol/directories'
import { CloisterError } from '@cloister/protocol/error'
import type { VmTee } from '@cloister/protocol/hostd-vm-api'
import type { VmTeeChoice } from './create-plan.ts'

/** From the strongest on. */
const BY_STRENGTH = ['snp', 'tdx', 'sev-es', 'sev'] as const satisfies readonly VmTee[]

/** @param probe - absent: of this host. @throws CloisterError `tee.none` */
export async function chooseVmTee(
  choice: VmTeeChoice,
  directories: Directories,
  signal: AbortSignal,
  probe: typeof probeHost = async (request) =>
    (await import('@cloister/launcher/probe/probe-host')).probeHost(request),
): Promise<VmTee> {
  if (choice !== 'auto') return choice
  const { canRun } = await probe({ directories, signal })
  const found = BY_STRENGTH.find((tee) => canRun.includes(tee))
  if (found !== undefined) return found
  throw new CloisterError('tee.none', {
    fix: [
      'cloister doctor',
      'for Secure Boot and a vTPM, without any protection against the host: --tee none',
      'for trying out, without any protection: --tee simulated',
    ],
  })
}
