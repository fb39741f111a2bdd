/** What is suspicious in a policy that compiles: unused and shadowed names, and openings. */
import type { Body, Expr, Module, Rule, Term } from '../ast.ts'
import { STANDARD_BUILTINS } from '../builtins/standard.ts'
import { declaredNames, patternNames } from '../compile/names.ts'
import type { Location } from '../error.ts'
import { allNames, bodiesOf } from './walk.ts'
import { findOpenings, type OpeningCode } from './openings.ts'

export type FindingCode =
  | 'unused-import'
  | 'unused-variable'
  | 'shadowed-rule'
  | 'shadowed-import'
  | 'shadowed-builtin'
  | 'deprecated-builtin'
  | OpeningCode

export interface Finding {
  readonly code: FindingCode
  /** The name it is about. */
  readonly name: string
  readonly file: string
  readonly row: number
  readonly column: number
  readonly loc: Location
  /** True for what lets more pass than it should. */
  readonly dangerous: boolean
}

/** Looks at modules that have been parsed; compile them for errors. Findings are in source order. */
export function check(modules: readonly Module[]): Finding[] {
  return modules.flatMap((module) => {
    const findings = [
      ...unusedImports(module),
      ...module.rules.flatMap((rule) => ruleFindings(module, rule)),
      ...findOpenings([module]).map(({ code, name, loc }) => finding(code, name, loc, true)),
    ]
    return findings.sort((a, b) => a.row - b.row || a.column - b.column)
  })
}

function finding(code: FindingCode, name: string, loc: Location, dangerous = false): Finding {
  const { file, row, column } = loc
  return { code, name, file, row, column, dangerous, loc }
}

function importName({ path, alias }: Module['imports'][number]): string {
  return alias ?? path[path.length - 1] ?? ''
}

function isFeature({ path }: Module['imports'][number]): boolean {
  return path[0] === 'rego' || path[0] === 'future'
}

function unusedImports(module: Module): Finding[] {
  const used = new Set(module.rules.flatMap((rule) => allNames(rule)))
  return module.imports
    .filter((entry) => !isFeature(entry) && !used.has(importName(entry)))
    .map((entry) => finding('unused-import', importName(entry), entry.loc))
}

function ruleFindings(module: Module, rule: Rule): Finding[] {
  const names = allNames(rule)
  const counts = new Map<string, number>()
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1)
  const rules = new Set(module.rules.map(({ head }) => nameOf(head.ref[0])))
  const imports = new Set(module.imports.filter((entry) => !isFeature(entry)).map(importName))
  const findings: Finding[] = []
  for (const { name, loc, isParameter } of declarations(rule)) {
    if (counts.get(name) === 1 && !isParameter) findings.push(finding('unused-variable', name, loc))
    if (rules.has(name)) findings.push(finding('shadowed-rule', name, loc))
    if (imports.has(name)) findings.push(finding('shadowed-import', name, loc))
    if (STANDARD_BUILTINS.has(name)) findings.push(finding('shadowed-builtin', name, loc))
  }
  for (const name of names)
    if (STANDARD_BUILTINS.get(name)?.deprecated === true && !rules.has(name))
      findings.push(finding('deprecated-builtin', name, rule.loc))
  return findings
}

function nameOf(term: Term | undefined): string {
  return term?.kind === 'var' ? term.name : ''
}

/** Names that the bodies of a rule declare, and its parameters. */
function declarations(rule: Rule): { name: string; loc: Location; isParameter: boolean }[] {
  const parameters = (rule.head.args ?? []).flatMap((arg) =>
    patternNames(arg).map((name) => ({ name, loc: arg.loc, isParameter: true })),
  )
  const declared = bodiesOf(rule).flatMap(declaredIn)
  return [
    ...(rule.default ? [] : parameters),
    ...declared.filter(({ name }) => name !== '_').map((each) => ({ ...each, isParameter: false })),
  ]
}

function declaredIn(body: Body): { name: string; loc: Location }[] {
  return body.flatMap((expr: Expr) => {
    const own = declaredNames(expr).map((name) => ({ name, loc: expr.loc }))
    if (expr.kind !== 'every') return own
    const bound = [expr.key, expr.value].flatMap((term) =>
      term === undefined ? [] : [{ name: term.name, loc: term.loc }],
    )
    return [...own, ...bound]
  })
}
