/**
 * The part of a release policy that is written in Rego, as Trustee's resource policies are: v1, package `policy`, `data.policy.allow`
 * must be true. Loaded only where there is one: the engine is large.
 */
import { CloisterError } from '@cloister/protocol/error'
import { compile, RegoError, type Policy } from '@cloister/rego'
import type { Explanation } from '@cloister/rego/explain'

/** What is asked of a policy. */
export interface RegoQuestion {
  /** `input`: the claims of the token. */
  readonly claims: unknown
  /** `repository/type/tag`: `data["resource-path"]`. */
  readonly path: string
  /** Milliseconds since 1970. */
  readonly now: number
}

export interface RegoAnswer {
  readonly allow: boolean
  /** For the owner: where the closest rule failed, or what went wrong. Empty when it allows. */
  readonly why: string
}

/** Of one decision. The broker has one thread, and who asks chooses the initdata in `input`. */
const LIMITS = { timeMs: 250, memoryBytes: 64 << 20 } as const
const QUERY = 'data.policy.allow'
const KEPT_POLICIES = 64
const WHY_LENGTH = 2_000

/** By source text: each version of a policy is compiled once. */
const compiled = new Map<string, Policy>()

/** @throws CloisterError `broker.rego` when the text is not a policy that could ever be asked */
export function assertReleaseRego(source: string): void {
  try {
    const [module] = policyOf(source).modules
    const name = module?.package.join('.') ?? ''
    if (name === 'policy') return
    throw new CloisterError('broker.rego', { expected: 'package policy', received: name })
  } catch (cause) {
    if (!(cause instanceof RegoError)) throw cause
    throw new CloisterError('broker.rego', { why: cause.message, cause })
  }
}

/** Whatever goes wrong is a refusal. */
export function askReleaseRego(source: string, question: RegoQuestion): RegoAnswer {
  try {
    const policy = policyOf(source)
    if (policy.decide(QUERY, optionsOf(question)) === true) return { allow: true, why: '' }
    const { explanation, prints } = policy.evaluate(QUERY, {
      ...optionsOf(question),
      explain: true,
    })
    const why = [explanation === undefined ? '' : closestText(explanation), ...prints].join('\n')
    return { allow: false, why: why.slice(0, WHY_LENGTH) }
  } catch (error) {
    if (!(error instanceof RegoError)) throw error
    return { allow: false, why: error.message.slice(0, WHY_LENGTH) }
  }
}

function optionsOf({ claims, path, now }: RegoQuestion) {
  const data = { plugin: 'resource', 'resource-path': path.split('/'), query: {} }
  return { input: claims, data, now: new Date(now) }
}

function policyOf(source: string): Policy {
  let policy = compiled.get(source)
  if (policy !== undefined) return policy
  policy = compile({ modules: [{ file: 'release.rego', source }], limits: LIMITS })
  const oldest = compiled.keys().next().value
  if (compiled.size >= KEPT_POLICIES && oldest !== undefined) compiled.delete(oldest)
  compiled.set(source, policy)
  return policy
}

/** The way to the nearest cause and the values seen there. */
function closestText({ closest }: Explanation): string {
  const last = closest.at(-1)
  if (last === undefined) return `${QUERY} is not true`
  const way = closest.map(({ rule, row }) => `${rule} (line ${row})`).join(' > ')
  const { text, row, seen } = last.failed
  const values = seen.map(({ term, value }) => `${term} = ${value ?? 'undefined'}`)
  return [`${way}: line ${row}: ${text.replace(/\s+/g, ' ')}`, ...values].join('\n')
}
