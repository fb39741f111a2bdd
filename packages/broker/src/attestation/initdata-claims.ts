/** Initdata as policies and tokens see it: `[data]` with its TOML members parsed, and the data of an agent policy read out. */
import { parse } from 'smol-toml'
import type { Initdata } from '@cloister/protocol/initdata'

const TOML_MEMBERS = ['aa.toml', 'cdh.toml']
const POLICY_MEMBER = 'policy.rego'
const POLICY_DATA = 'policy_data := {'

/** Trustee's transformation; a member that does not parse stays text. */
export function initdataClaims({ data }: Initdata): Record<string, unknown> {
  const claims: Record<string, unknown> = { ...data }
  for (const member of TOML_MEMBERS)
    if (data[member] !== undefined) claims[member] = parsed(data[member], parse)
  const policy = data[POLICY_MEMBER]
  const start = policy?.indexOf(POLICY_DATA) ?? -1
  if (policy === undefined || start < 0) return claims
  const text = policy.slice(start + POLICY_DATA.length - 1)
  const policyData = parsed(text, JSON.parse as (text: string) => unknown)
  if (policyData === text) return claims
  delete claims[POLICY_MEMBER]
  return { ...claims, agent_policy_claims: policyData }
}

function parsed(text: string, read: (text: string) => unknown): unknown {
  try {
    return read(text)
  } catch {
    return text
  }
}
