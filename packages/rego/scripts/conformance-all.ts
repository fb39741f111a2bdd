/** All conformance cases under one folder. */
import { join } from 'node:path'
import type { EvaluateOptions } from '../src/policy.ts'
import { runAciCases, runInterpreterCases } from './conformance-cases.ts'
import { runKataRequests } from './conformance-kata.ts'
import type { Outcome } from './outcome.ts'

/** @param extra - options for every evaluation: asking for explanations must change nothing */
export function runAll(folder: string, extra: EvaluateOptions = {}): Outcome[] {
  return [
    ...runInterpreterCases(join(folder, 'interpreter'), extra),
    ...runAciCases(join(folder, 'aci'), extra),
    ...runKataRequests(join(folder, 'kata'), extra),
  ]
}
