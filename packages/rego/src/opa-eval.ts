/** Results in the JSON shape of `opa eval`. */
import { RegoError } from './error.ts'
import type { Explanation } from './explain/explanation.ts'
import { encodeJson, fromJson } from './json.ts'
import type { Evaluation, EvaluateOptions, Policy } from './policy.ts'
import { RegoObject, type Value } from './value.ts'

/** What a command prints and how it ends. */
export interface OpaEval {
  /** `{"result": […]}`, `{}` when undefined, or `{"errors": […]}`. Indented, with a line end. */
  readonly text: string
  /** True when there were errors. */
  readonly failed: boolean
  readonly explanation?: Explanation
}

/** Evaluates a query and gives what `opa eval` prints for it; coded errors become its `errors`. */
export function opaEval(policy: Policy, query: string, options: EvaluateOptions = {}): OpaEval {
  try {
    const evaluation = policy.evaluate(query, options)
    const { explanation } = evaluation
    return {
      text: pretty(resultValue(evaluation)),
      failed: false,
      ...(explanation === undefined ? {} : { explanation }),
    }
  } catch (error) {
    if (!(error instanceof RegoError)) throw error
    return { text: errorText(error), failed: true }
  }
}

/** `{"errors": […]}` of a failed parse, compilation or evaluation. */
export function errorText(error: RegoError): string {
  return pretty(fromJson({ errors: [error.toJSON()] }))
}

function pretty(value: Value): string {
  return `${encodeJson(value, { pretty: true, indent: '  ' })}\n`
}

function resultValue({ result }: Evaluation): Value {
  if (result.length === 0) return RegoObject.empty
  const entries = result.map(({ expressions, bindings }) => ({
    expressions: expressions.map(({ value, text, location }) => ({
      value,
      text,
      location: { ...location },
    })),
    ...(Object.keys(bindings).length === 0 ? {} : { bindings: new Map(Object.entries(bindings)) }),
  }))
  return fromJson({ result: entries })
}
