/** Which policy a guest's initdata means: the built-in one always; one in Rego, where it is there, can only narrow it. */
import { INITDATA_MEMBERS, type Initdata } from '@cloister/protocol/initdata'
import { isVmWorkload, type AnyWorkload } from '@cloister/protocol/vm-workload'
import { bothPolicies, type AgentPolicy } from './agent-policy.ts'
import { vmPolicy } from './vm-policy.ts'
import { workloadPolicy } from './workload-policy.ts'

/** @throws CloisterError `initdata.policy-malformed` */
export async function policyOf(initdata: Initdata, workload: AnyWorkload): Promise<AgentPolicy> {
  const builtIn = isVmWorkload(workload) ? vmPolicy() : workloadPolicy(workload)
  const source = initdata.data[INITDATA_MEMBERS.policy]
  if (source === undefined) return builtIn
  // Some 20 MiB that guests without such a policy do without.
  const { regoPolicy } = await import('./rego-policy.ts')
  return bothPolicies(builtIn, regoPolicy(source))
}
