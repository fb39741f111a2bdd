/**
 * Openings: rules that let requests pass on failure, that allow a policy to be replaced at run time, or that allow
 * by default. A workload whose policy has one is `debug`, never `verified`.
 */
import type { Module, Rule, Term } from '../ast.ts'
import type { Location } from '../error.ts'

export type OpeningCode = 'allow-on-failure' | 'policy-replaceable' | 'allow-by-default'

export interface Opening {
  readonly code: OpeningCode
  /** The rule: `agent_policy.SetPolicyRequest`. */
  readonly name: string
  readonly loc: Location
}

/** Requests that the upstream profile for confidential guests allows to everybody: availability is the host's anyway. */
const HARMLESS = new Set([
  'StartContainerRequest',
  'RemoveContainerRequest',
  'SignalProcessRequest',
  'WaitProcessRequest',
  'StatsContainerRequest',
  'RemoveStaleVirtiofsShareMountsRequest',
  'TtyWinResizeRequest',
  'DestroySandboxRequest',
  'OnlineCPUMemRequest',
  'GuestDetailsRequest',
  'GetOOMEventRequest',
])

/** All openings of a policy, in source order. Syntax decides, so nothing that a host sends can hide one. */
export function findOpenings(modules: readonly Module[]): Opening[] {
  return modules.flatMap((module) => module.rules.flatMap((rule) => openingOf(module, rule)))
}

function openingOf(module: Module, rule: Rule): Opening[] {
  const names = [...module.package, ...rule.head.ref.map(textOf)]
  const name = names.join('.')
  const last = names.at(-1) ?? ''
  const opening = (code: OpeningCode): Opening[] => [{ code, name, loc: rule.loc }]
  if (last === 'AllowRequestsFailingPolicy')
    return isConstantFalse(rule) ? [] : opening('allow-on-failure')
  if (last === 'SetPolicyRequest') return isConstantFalse(rule) ? [] : opening('policy-replaceable')
  const decides = last === 'allow' || (module.package[0] === 'agent_policy' && /^[A-Z]/.test(last))
  if (!decides || HARMLESS.has(last) || !isUnconditionalTrue(rule)) return []
  return opening('allow-by-default')
}

function textOf(term: Term): string {
  if (term.kind === 'var') return term.name
  return term.kind === 'scalar' ? String(term.value) : '*'
}

function values(rule: Rule): (Term | undefined)[] {
  return [rule.head.value, ...rule.elses.map(({ value }) => value)]
}

/** Whatever the bodies say, the value is false. */
function isConstantFalse(rule: Rule): boolean {
  return values(rule).every((value) => value?.kind === 'scalar' && value.value === false)
}

/** A default, or a rule without a body or with one that is only `true`, that yields true or `{"allowed": true}`. */
function isUnconditionalTrue(rule: Rule): boolean {
  const { value } = rule.head
  const body = rule.body ?? []
  const always = body.every(
    (expr) => expr.kind === 'term' && expr.term.kind === 'scalar' && expr.term.value !== false,
  )
  if (!always || rule.head.args !== undefined) return false
  if (value === undefined) return true
  if (value.kind === 'scalar') return value.value === true
  return (
    value.kind === 'object' &&
    value.entries.some(([key, member]) => textOf(key) === 'allowed' && textOf(member) === 'true')
  )
}
