/**
 * What each member of a policy may hold. A policy may come from a file, where types are nobody's promise: a demand of another type would be no demand at
 * all, for `"true"` is not `true` and `"milan"` is no product line.
 */
import { refuseUnknownKeys } from './known-keys.ts'

export interface ValueRule {
  /** As in `must be …`. */
  readonly says: string
  readonly holds: (value: unknown) => boolean
}

export type PolicyRules<Policy> = Readonly<Record<keyof Policy, ValueRule>>

export const FLAG: ValueRule = {
  says: 'true or false',
  holds: (value) => typeof value === 'boolean',
}

export const COUNT: ValueRule = {
  says: 'a number from 0',
  holds: (value) => typeof value === 'number' && value >= 0 && Number.isFinite(value),
}

export const TEXTS: ValueRule = {
  says: 'a list of texts',
  holds: (value) => isListOf(value, (member) => typeof member === 'string'),
}

/** Its members are checked where they are read. */
export const OBJECT: ValueRule = {
  says: 'an object',
  holds: (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
}

export function oneOf(...names: readonly unknown[]): ValueRule {
  return { says: `one of ${names.join(', ')}`, holds: (value) => names.includes(value) }
}

export function listOf(...names: readonly unknown[]): ValueRule {
  const holds = (value: unknown) => isListOf(value, (member) => names.includes(member))
  return { says: `a list of ${names.join(', ')}`, holds }
}

export function listOfRule(rule: ValueRule, says: string): ValueRule {
  return { says, holds: (value) => isListOf(value, rule.holds) }
}

/** Absent and undefined members are no demand. @throws TypeError for an unknown name and for a value of another kind */
export function checkPolicy<Policy extends object>(
  policy: Policy,
  rules: PolicyRules<Policy>,
  what = 'policy',
): void {
  refuseUnknownKeys(what, policy, rules)
  for (const name in policy) {
    const rule = rules[name]
    if (policy[name] !== undefined && !rule.holds(policy[name]))
      throw new TypeError(`${what}.${name} must be ${rule.says}`)
  }
}

function isListOf(value: unknown, holds: (member: unknown) => boolean): boolean {
  return Array.isArray(value) && value.every(holds)
}
