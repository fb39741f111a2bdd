/** Reads an agent policy in Rego the one way in which guest and owner both read it. */
import { CloisterError } from '@cloister/protocol/error'
import { RegoError } from '@cloister/rego/error'
import { findOpenings, type Opening } from '@cloister/rego/openings'
import { parseModule } from '@cloister/rego/parse'

export type AgentPolicyModule = ReturnType<typeof parseModule>

const FILE = 'policy.rego'
export const AGENT_POLICY_PACKAGE = 'agent_policy'

/**
 * Rego v0, the level of Kata's policies; v1 when it is no v0.
 *
 * @throws CloisterError `initdata.policy-malformed` when it is neither, or not of Kata's package
 */
export function parseAgentPolicy(source: string): AgentPolicyModule {
  const module = parseEither(source)
  const name = module.package.join('.')
  if (name !== AGENT_POLICY_PACKAGE)
    throw new CloisterError('initdata.policy-malformed', {
      expected: `package ${AGENT_POLICY_PACKAGE}`,
      received: `package ${name}`,
    })
  return module
}

function parseEither(source: string): AgentPolicyModule {
  try {
    return parseModule(FILE, source, 'v0')
  } catch (error) {
    if (!(error instanceof RegoError)) throw error
  }
  return withPolicyErrors(() => parseModule(FILE, source, 'v1'))
}

/**
 * What in it lets more pass than it should. A workload with such a policy is `debug`.
 *
 * @throws CloisterError `initdata.policy-malformed`
 */
export function agentPolicyOpenings(source: string): Opening[] {
  return findOpenings([parseAgentPolicy(source)])
}

/** Runs a step in which the engine reads a policy. */
export function withPolicyErrors<Value>(step: () => Value): Value {
  try {
    return step()
  } catch (cause) {
    if (!(cause instanceof RegoError)) throw cause
    throw new CloisterError('initdata.policy-malformed', { why: cause.message, cause })
  }
}
