/** Whether the agent policy in Rego that a workload brings along lets more pass than it should. */
import { CloisterError } from '@cloister/protocol/error'
import { INITDATA_MEMBERS, parseInitdata } from '@cloister/protocol/initdata'
import type { TrustCheck } from './trust-check.ts'

/**
 * @param document - the exact initdata
 * @returns a warning that names each opening; a failure when nobody can tell, which a guest would not have started with either; absent when
 * there is no such policy
 */
export async function openingsCheck(document: Uint8Array): Promise<TrustCheck | undefined> {
  const check = { code: 'policy.openings', expected: 'none', where: INITDATA_MEMBERS.policy }
  try {
    const source = parseInitdata(document).data[INITDATA_MEMBERS.policy]
    if (source === undefined) return undefined
    const { agentPolicyOpenings } = await import('@cloister/agent/policy/rego-module')
    const openings = agentPolicyOpenings(source)
    if (openings.length === 0) return { ...check, outcome: 'pass' }
    const received = openings.map(({ code, name, loc }) => `${code} ${name} (line ${loc.row})`)
    return { ...check, outcome: 'warning', received: received.join(', ') }
  } catch (error) {
    if (!(error instanceof CloisterError)) throw error
    return { ...check, outcome: 'fail', received: error.code }
  }
}
