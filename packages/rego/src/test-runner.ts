/** Runs the rules whose name starts with `test_`, as `opa test` does. */
import type { Module } from './ast.ts'
import { RegoError } from './error.ts'
import { explanationText } from './explain/explanation.ts'
import type { EvaluateOptions, Policy } from './policy.ts'

export interface TestResult {
  /** `data.policy_test.test_allows_admin`. */
  readonly name: string
  readonly file: string
  readonly row: number
  /** `skip` for `todo_test_…`. */
  readonly outcome: 'pass' | 'fail' | 'error' | 'skip'
  readonly durationMs: number
  readonly prints: readonly string[]
  /** Why it failed, as a text; or the error's message. Absent when it passed. */
  readonly why?: string
}

/** Runs all tests of a policy in source order. A test passes when it is defined and not false. */
export function runTests(policy: Policy, options: EvaluateOptions = {}): TestResult[] {
  return testsOf(policy.modules).map((test) => runTest(policy, test, options))
}

interface Test {
  readonly name: string
  readonly file: string
  readonly row: number
  readonly isTodo: boolean
}

function testsOf(modules: readonly Module[]): Test[] {
  const tests = new Map<string, Test>()
  for (const module of modules)
    for (const { head, loc } of module.rules) {
      const [first] = head.ref
      if (first?.kind !== 'var' || head.args !== undefined) continue
      const isTodo = first.name.startsWith('todo_test_')
      if (!isTodo && !first.name.startsWith('test_')) continue
      const name = pathText(['data', ...module.package, first.name])
      if (!tests.has(name)) tests.set(name, { name, file: module.file, row: loc.row, isTodo })
    }
  return [...tests.values()]
}

function pathText([root = '', ...names]: readonly string[]): string {
  return names.reduce(
    (text, name) =>
      /^[A-Za-z_]\w*$/.test(name) ? `${text}.${name}` : `${text}[${JSON.stringify(name)}]`,
    root,
  )
}

function runTest(
  policy: Policy,
  { name, file, row, isTodo }: Test,
  options: EvaluateOptions,
): TestResult {
  const base = { name, file, row }
  if (isTodo) return { ...base, outcome: 'skip', durationMs: 0, prints: [] }
  const clock = options.clock ?? (() => performance.now())
  const start = clock()
  try {
    const { result, prints } = policy.evaluate(name, options)
    const durationMs = clock() - start
    const value = result[0]?.expressions[0]?.value
    if (value !== undefined && value !== false)
      return { ...base, outcome: 'pass', durationMs, prints }
    const { explanation } = policy.evaluate(name, { ...options, explain: options.explain ?? true })
    const why = explanation === undefined ? 'undefined' : explanationText(explanation)
    return { ...base, outcome: 'fail', durationMs, prints, why }
  } catch (error) {
    if (!(error instanceof RegoError)) throw error
    return {
      ...base,
      outcome: 'error',
      durationMs: clock() - start,
      prints: [],
      why: error.message,
    }
  }
}
