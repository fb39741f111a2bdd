/**
 * The agent policy: decides each request of the host, purely, from what was decided before and the request. A policy in Rego will
 * stand behind the same interface. Deny unless allowed; a thrown error denies too.
 */
import type { Message } from '@bufbuild/protobuf'

export interface PolicyRequest {
  /** Such as `CreateContainer`. Kata's rule for it is the request message's name. */
  readonly method: string
  readonly message: Message
}

/** What a policy remembers between requests: plain JSON. */
export interface PolicyState {
  readonly sandboxId?: string
  /** Ids of containers and processes that were ever allowed, in order. Ids serve once. */
  readonly usedIds: readonly string[]
  readonly containers: Readonly<Record<string, 'created' | 'started' | 'removed'>>
}

export const INITIAL_STATE: PolicyState = { usedIds: [], containers: {} }

export type PolicyDecision =
  | { readonly allow: true; readonly statePatch?: Partial<PolicyState> }
  | {
      readonly allow: false
      /** For the guest's own console; the host is told a code only. */
      readonly reasons: readonly [string, ...string[]]
      /** Absent: `agent.request-denied`. */
      readonly code?: 'agent.id-reused' | 'agent.out-of-order' | 'agent.container-unknown'
    }

export interface AgentPolicy {
  decide(state: PolicyState, request: PolicyRequest): PolicyDecision
}
