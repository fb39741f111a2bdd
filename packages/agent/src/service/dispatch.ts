/** Every request of the host: unknown fields, then the agent policy, then the work. To the host a refusal is a code. */
import { create, type DescMethod, type Message } from '@bufbuild/protobuf'
import { ReadStreamResponseSchema } from '@cloister/protocol/agent-service_pb'
import { CloisterError } from '@cloister/protocol/error'
import type { ErrorCode } from '@cloister/protocol/errors/catalogue'
import type { TtrpcHandler } from '@cloister/protocol/ttrpc/server'
import { findUnknownFields } from '@cloister/protocol/ttrpc/unknown-fields'
import {
  INITIAL_STATE,
  type AgentPolicy,
  type PolicyDecision,
  type PolicyState,
} from '../policy/agent-policy.ts'

type Denial = PolicyDecision & { readonly allow: false }

/** The work behind a method, by its name. */
export type Methods = Readonly<
  Record<string, (message: Message, signal: AbortSignal) => Promise<Message>>
>

export interface DispatchOptions {
  readonly policy: AgentPolicy
  readonly methods: Methods
  /** For the guest's own console. */
  readonly log: Log
  /** Told of what was denied, before the host is, with what the host does not hear. Absent: nobody is. */
  readonly onDenied?: (error: CloisterError) => Promise<void>
}

/** A message that is made only where somebody reads it. */
export type Log = (message: string | (() => string)) => void

/** Requests of all sessions share one policy state: it lives as long as the VM. */
export function dispatch(options: DispatchOptions): TtrpcHandler {
  const { policy, methods, log } = options
  let state: PolicyState = INITIAL_STATE
  return async ({ method, request, signal }) => {
    const unknown = findUnknownFields(method.input, request)
    if (unknown !== undefined) {
      log(`${method.name} refused: unknown field ${unknown}`)
      throw new CloisterError('agent.request-unknown')
    }
    const work = Object.hasOwn(methods, method.name) ? methods[method.name] : undefined
    if (work === undefined) throw new CloisterError('agent.request-unknown')
    const decision = decide(policy, state, method, request)
    if (!decision.allow) {
      log(() => refusalText(method, decision))
      // Output that is not given is no refusal that anybody wants to hear of.
      if (method.output === ReadStreamResponseSchema) return create(ReadStreamResponseSchema)
      await options.onDenied?.(denialError(method, decision))
      throw new CloisterError(denialCode(decision))
    }
    // Before the work: two requests at once must not both find an id unused.
    state = { ...state, ...decision.statePatch }
    return work(request, signal)
  }
}

/** No failure of a policy ever means allow. */
function decide(
  policy: AgentPolicy,
  state: PolicyState,
  method: DescMethod,
  message: Message,
): PolicyDecision {
  try {
    return policy.decide(state, { method, message })
  } catch (error) {
    return { allow: false, reasons: [`the policy failed: ${String(error)}`] }
  }
}

function refusalText(method: DescMethod, { reasons, explain }: Denial): string {
  const line = `${method.name} refused: ${reasons.join('; ')}`
  if (explain === undefined) return line
  try {
    return `${line}\n${explain()}`
  } catch (error) {
    return `${line}; no explanation: ${String(error)}`
  }
}

function denialCode({ code }: Denial): ErrorCode {
  return code ?? 'agent.request-denied'
}

/** For the owner alone. */
function denialError(method: DescMethod, decision: Denial): CloisterError {
  return new CloisterError(denialCode(decision), {
    where: method.name,
    received: decision.reasons.join('; '),
  })
}
