/** The built-in policy of a VM: the host may ask for evidence and status; what runs in it is started by its own system. */
import type { AgentPolicy } from './agent-policy.ts'

const ALLOWED: ReadonlySet<string> = new Set(['Check', 'Version', 'GetEvidence', 'GetStatus'])

export function vmPolicy(): AgentPolicy {
  return {
    decide: (_state, { method: { name } }) =>
      ALLOWED.has(name) ? { allow: true } : { allow: false, reasons: [`${name} is not for a VM`] },
  }
}
