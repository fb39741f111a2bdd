/** How far a fuzz run has come, kept in a file so that it can be stopped and taken up again. */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'

/** Of one target. */
export interface TargetProgress {
  inputs: number
  /** Of them, those that were taken for good: parsed, or appraised to a status. */
  taken: number
  /** Of processor time, so that a run beside others tells how fast a target is. */
  seconds: number
  /** Of the random numbers: the next input follows from it and the corpus alone. */
  state: number
  /** Fields that refusals named: how deep the inputs go. */
  readonly refusedAt: string[]
}

export interface Progress {
  readonly seed: number
  readonly targets: Record<string, TargetProgress>
}

/** An absent file, or one of another seed, is a new run. */
export function readProgress(path: string | undefined, seed: number): Progress {
  if (path === undefined || !existsSync(path)) return { seed, targets: {} }
  const kept = JSON.parse(readFileSync(path, 'utf8')) as Progress
  return kept.seed === seed ? kept : { seed, targets: {} }
}

export function writeProgress(path: string | undefined, progress: Progress): void {
  if (path === undefined) return
  writeFileSync(`${path}.new`, `${JSON.stringify(progress, null, 2)}\n`)
  renameSync(`${path}.new`, path)
}
