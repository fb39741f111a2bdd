/** Every target that has samples here. */
import { appraisalTargets } from './appraisal-targets.ts'
import { deviceTargets } from './device-targets.ts'
import { endorsementTargets } from './endorsement-targets.ts'
import type { Target } from './target.ts'
import { targets } from './targets.ts'
import { tpmTargets } from './tpm-targets.ts'

export async function allTargets(): Promise<readonly Target[]> {
  const all = [
    ...(await targets()),
    ...(await tpmTargets()),
    ...deviceTargets(),
    ...(await endorsementTargets()),
    ...(await appraisalTargets()),
  ]
  return all.filter(({ corpus }) => corpus.length > 0)
}

export async function allParsers(): Promise<readonly Target[]> {
  return (await allTargets()).filter(({ kind }) => kind === 'parse')
}
