/**
 * The agent policy: decides each request of the host, purely, from what was decided before and the request. Deny unless allowed; a
 * thrown error denies too.
 */
import type { DescMethod, Message } from '@bufbuild/protobuf'

export interface PolicyRequest {
  readonly method: DescMethod
  /** Of the type `method.input`. */
  readonly message: Message
}

/** What a policy remembers between requests: plain JSON. */
export interface PolicyState {
  readonly sandboxId?: string
  /** Ids of containers and processes that were ever allowed, in order. Ids serve once. */
  readonly usedIds: readonly string[]
  readonly containers: Readonly<Record<string, 'created' | 'started' | 'removed'>>
  /** What a policy in Rego keeps for itself: `data.pstate`. */
  readonly pstate: Readonly<Record<string, unknown>>
}

export const INITIAL_STATE: PolicyState = { usedIds: [], containers: {}, pstate: {} }

export type PolicyDecision =
  | { readonly allow: true; readonly statePatch?: Partial<PolicyState> }
  | {
      readonly allow: false
      /** For the guest's own console; the host is told a code only. */
      readonly reasons: readonly [string, ...string[]]
      /** More than the reasons, for the same place. Slow; call it only where somebody reads. */
      readonly explain?: () => string
      /** Absent: `agent.request-denied`. */
      readonly code?: 'agent.id-reused' | 'agent.out-of-order' | 'agent.container-unknown'
    }

export interface AgentPolicy {
  decide(state: PolicyState, request: PolicyRequest): PolicyDecision
}

/** Allows what both allow. The second is asked only what the first allows, with the state as it was before. */
export function bothPolicies(first: AgentPolicy, second: AgentPolicy): AgentPolicy {
  return {
    decide(state, request) {
      const one = first.decide(state, request)
      if (!one.allow) return one
      const two = second.decide(state, request)
      if (!two.allow) return two
      return { allow: true, statePatch: { ...one.statePatch, ...two.statePatch } }
    },
  }
}
