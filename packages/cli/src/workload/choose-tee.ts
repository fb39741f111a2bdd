/** Which TEE a run uses: what was asked for, else the real one of this host; simulation only when asked for. */
import type { Directories } from '@cloister/protocol/directories'
import { CloisterError } from '@cloister/protocol/error'
import type { TeeChoice } from './run-plan.ts'

export type RunTee = 'snp' | 'simulated'

/** TEEs that measured VMs run under. */
export type MeasuredTee = RunTee | 'tdx'

/** @throws CloisterError `tee.none` */
export async function chooseTee(
  choice: TeeChoice,
  directories: Directories,
  signal: AbortSignal,
): Promise<RunTee> {
  if (choice !== 'auto') return choice
  const { probeHost } = await import('@cloister/launcher/probe/probe-host')
  const { canRun } = await probeHost({ directories, signal })
  if (canRun.includes('snp')) return 'snp'
  throw new CloisterError('tee.none')
}
