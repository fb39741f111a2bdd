/**
 * An agent policy in Rego, as Kata's agent evaluates it: rule `data.agent_policy.<request message>`, the request as input, true or
 * `{allowed, ops}` to allow. Undefined, any other value and any error deny. What the policy printed and why it denied stays in the guest.
 */
import type { DescMethod } from '@bufbuild/protobuf'
import { AgentService } from '@cloister/protocol/agent-service_pb'
import { compile, toJson, type Policy } from '@cloister/rego'
import { explanationText } from '@cloister/rego/explain'
import { z } from 'zod'
import type { AgentPolicy, PolicyState } from './agent-policy.ts'
import { kataInput } from './kata-input.ts'
import { AGENT_POLICY_PACKAGE, parseAgentPolicy, withPolicyErrors } from './rego-module.ts'

/** Of one decision: the guest has one thread and little memory. */
const LIMITS = { timeMs: 1_000, memoryBytes: 64 << 20 } as const
/** Of `pstate` as JSON, in characters: the host chooses how many requests it makes. */
const STATE_LIMIT = 1 << 20

const PASS_FAILURES = 'AllowRequestsFailingPolicy'

type Pstate = PolicyState['pstate']

/** JSON Patch on the state alone: elsewhere in `data` a patch would take the place of the policy's own rules. */
const StatePath = z.string().regex(/^\/pstate(\/|$)/)
const VerdictSchema = z.union([
  z.boolean().transform((allowed) => ({ allowed, ops: [] })),
  z.strictObject({
    allowed: z.boolean(),
    ops: z
      .array(z.looseObject({ op: z.string(), path: StatePath, from: StatePath.optional() }))
      .nullish()
      .transform((ops) => ops ?? []),
  }),
])
const PatchedSchema = z.strictObject({ pstate: z.record(z.string(), z.unknown()) })

/** @throws CloisterError `initdata.policy-malformed` */
export function regoPolicy(source: string): AgentPolicy {
  const rules = new AgentRules(source)
  return {
    decide(state, { method, message }) {
      // Health and evidence are no business of Kata's policies: they change nothing.
      if (method.parent.typeName !== AgentService.typeName) return { allow: true }
      const rule = ruleOf(method)
      const input = kataInput(method.input, message)
      const verdict = rules.decide(rule, input, state.pstate)
      if (verdict.allow) return { allow: true, statePatch: { pstate: verdict.pstate } }
      return {
        allow: false,
        reasons: [`policy.rego: ${verdict.why}`],
        explain: () => rules.explain(rule, input, state.pstate),
      }
    },
  }
}

/** ReadStdout and ReadStderr share one, for Kata names rules after messages. */
function ruleOf(method: DescMethod): string {
  return method.input.name
}

export type RuleVerdict =
  | { readonly allow: true; readonly pstate: Pstate }
  | { readonly allow: false; readonly why: string }

/** The rules of one policy, compiled. */
export class AgentRules {
  readonly #policy: Policy
  readonly #passesFailures: boolean

  /** @throws CloisterError `initdata.policy-malformed` */
  constructor(source: string) {
    const module = parseAgentPolicy(source)
    this.#policy = withPolicyErrors(() => compile({ modules: [module], limits: LIMITS }))
    this.#passesFailures = withPolicyErrors(() => this.#value(PASS_FAILURES, {}, {}) === true)
  }

  /**
   * @param rule - name of the request message
   * @throws RegoError when the evaluation failed: a denial
   */
  decide(rule: string, input: object, pstate: Pstate): RuleVerdict {
    const value = this.#value(rule, input, pstate)
    const verdict = VerdictSchema.safeParse(value)
    if (verdict.success && verdict.data.allowed)
      return { allow: true, pstate: this.#patched(pstate, verdict.data.ops) }
    // The owner's own escape, for finding out what a policy lacks. Owners see such a workload as `debug`.
    if (this.#passesFailures) return { allow: true, pstate }
    if (value === undefined) return { allow: false, why: `${rule} is undefined` }
    return {
      allow: false,
      why: verdict.success ? `${rule} is false` : `${rule} is no verdict`,
    }
  }

  /** Why a rule does not hold, and what the policy printed meanwhile. */
  explain(rule: string, input: object, pstate: Pstate): string {
    const { explanation, prints } = this.#evaluate(rule, input, pstate, true)
    return [...prints, explanation === undefined ? '' : explanationText(explanation)].join('\n')
  }

  #value(rule: string, input: object, pstate: Pstate): unknown {
    const value = this.#evaluate(rule, input, pstate).result[0]?.expressions[0]?.value
    return value === undefined ? undefined : toJson(value)
  }

  #evaluate(rule: string, input: object, pstate: Pstate, explain = false) {
    const query = `data.${AGENT_POLICY_PACKAGE}.${rule}`
    return this.#policy.evaluate(query, { input, data: { pstate }, explain })
  }

  #patched(pstate: Pstate, ops: readonly object[]): Pstate {
    if (ops.length === 0) return pstate
    const document = this.#policy.decide('json.patch(input.document, input.ops)', {
      input: { document: { pstate }, ops },
    })
    const patched = PatchedSchema.parse(document).pstate
    if (JSON.stringify(patched).length > STATE_LIMIT) throw new RangeError('pstate is too large')
    return patched
  }
}
