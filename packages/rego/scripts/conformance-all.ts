/** All conformance cases under one folder. */
import { join } from 'node:path'
import { runAciCases, runInterpreterCases } from './conformance-cases.ts'
import { runKataRequests } from './conformance-kata.ts'
import type { Outcome } from './outcome.ts'

export function runAll(folder: string): Outcome[] {
  return [
    ...runInterpreterCases(join(folder, 'interpreter')),
    ...runAciCases(join(folder, 'aci')),
    ...runKataRequests(join(folder, 'kata')),
  ]
}
