/**
 * Evidence that the owner of a simulating host can make: that host holds the key of the simulated processor. On hardware nobody can; here it stands
 * for every report that is genuine in its signature and wrong in one claim.
 */
import { openKeyStore, type SimulatedIdentity } from '@cloister/launcher/simulator/key-store'
import type { LaunchContext } from '@cloister/launcher/simulator/launch-context'
import { PLATFORM } from '@cloister/launcher/simulator/platform'
import { signReport } from '@cloister/launcher/simulator/sign-report'
import { simulatorDirectory } from '@cloister/launcher/simulator/directory'
import type { Directories } from '@cloister/protocol/directories'
import { fromExtendedReport } from '@cloister/verifier/snp/evidence'
import { encodeSnpEvidenceJson } from '@cloister/verifier/snp/evidence-json'

export interface Forgery {
  /** 96 hex digits. */
  readonly launchDigest: string
  /** 64 hex digits. */
  readonly hostData: string
  readonly vmpl?: number
  /** Guest policy word; absent: the simulator's. */
  readonly policy?: bigint
}

export async function localProcessor(directories: Directories): Promise<SimulatedIdentity> {
  return await openKeyStore(simulatorDirectory(directories))
}

/** A report in its KBS form. @param reportData - 64 bytes */
export function forgeEvidence(
  identity: SimulatedIdentity,
  forgery: Forgery,
  reportData: Uint8Array,
): unknown {
  const context: LaunchContext = {
    version: 1,
    policy: (forgery.policy ?? PLATFORM.guestPolicy).toString(16),
    hostData: forgery.hostData,
    measurement: forgery.launchDigest,
    reportId: '5e'.repeat(32),
    vcpuType: 'EPYC-v4',
  }
  const choice = { reportData: Buffer.from(reportData).toString('hex'), vmpl: forgery.vmpl ?? 0 }
  const { report, certificates } = signReport(identity, context, choice)
  return encodeSnpEvidenceJson(
    fromExtendedReport(Buffer.from(report, 'base64'), Buffer.from(certificates, 'base64')),
  )
}
