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

/**
 * Before anything is registered or started for it.
 *
 * @throws CloisterError `tee.unavailable` with what is missing
 */
export async function assertHostCan(
  tee: RunTee,
  directories: Directories,
  signal: AbortSignal,
): Promise<void> {
  if (tee === 'simulated') return
  const { probeHost } = await import('@cloister/launcher/probe/probe-host')
  const { leavesOf } = await import('@cloister/launcher/probe/probe-node')
  const { tees, tree } = await probeHost({ directories, signal })
  const missing = tees.find((verdict) => verdict.tee === tee)?.missing ?? []
  // Whether a guest runs under KVM is found out by hostd, at its first start.
  const leaves = leavesOf(tree).filter(
    ({ id, state }) => missing.includes(id) && state !== 'unknown',
  )
  if (leaves.length === 0) return
  throw new CloisterError('tee.unavailable', {
    where: tee,
    why: leaves.map(({ title, evidence, reason }) => `${title}: ${reason ?? evidence}`).join('; '),
    fix: [...new Set(leaves.flatMap(({ fix }) => fix)), 'cloister doctor'],
  })
}
