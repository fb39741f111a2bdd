/** What can be said about names and terms before anything runs. */
import type * as ast from '../ast.ts'
import { RegoError, type Location } from '../error.ts'
import { isArray, type Value } from '../value.ts'
import type { Term } from './ir.ts'
import type { DataNode } from './rule-tree.ts'

export function holdsRules(node: DataNode): boolean {
  if (node.rules !== undefined || node.packageLoc === undefined) {
    if (node.rules !== undefined) return true
    for (const child of node.children.values())
      if (child.packageLoc === undefined && holdsRules(child)) return true
  }
  return false
}

/** `:=` gives values to variables, alone or in arrays and objects, and to nothing else. */
export function checkAssignable(term: ast.Term): void {
  switch (term.kind) {
    case 'var':
    case 'scalar':
      return
    case 'array':
      for (const item of term.items) checkAssignable(item)
      return
    case 'object':
      for (const [, value] of term.entries) checkAssignable(value)
      return
    default:
      throw new RegoError('rego.compile', `cannot assign to ${term.kind}`, term.loc)
  }
}

/** A name or a ref of strings, as strings. */
export function constantPath(term: ast.Term): string[] | undefined {
  if (term.kind === 'var') return [term.name]
  if (term.kind !== 'ref' || term.head.kind !== 'var') return undefined
  const names = [term.head.name]
  for (const part of term.path) {
    if (part.kind !== 'scalar' || typeof part.value !== 'string') return undefined
    names.push(part.value)
  }
  return names
}

export function documentRef(global: readonly string[], path: readonly Term[], loc: Location): Term {
  const [root, ...names] = global
  const head: Term = { kind: root === 'input' ? 'input' : 'data', loc }
  const constants = names.map((value): Term => ({ kind: 'const', value: value as Value, loc }))
  const whole = [...constants, ...path]
  return whole.length === 0 ? head : { kind: 'ref', head, path: whole, loc }
}

export function mayIterate(term: Term): boolean {
  switch (term.kind) {
    case 'const':
    case 'local':
    case 'input':
    case 'comprehension':
      return false
    default:
      return true
  }
}

function isArrayValue(value: Value): value is readonly Value[] {
  return typeof value === 'object' && value !== null && isArray(value)
}

/** A literal that can never have the length of the pattern is a mistake, as upstream's type check says. */
export function checkArrayPattern(pattern: Term, domain: Term): void {
  if (pattern.kind !== 'array' && !(pattern.kind === 'const' && isArrayValue(pattern.value))) return
  const wanted =
    pattern.kind === 'array' ? pattern.items.length : (pattern.value as readonly Value[]).length
  const items = domain.kind === 'const' && isArrayValue(domain.value) ? domain.value : []
  if (items.length > 0 && items.every((item) => isArrayValue(item) && item.length !== wanted))
    throw new RegoError('rego.type', 'mismatch in number of array elements', pattern.loc)
}
