/** Collections of constants are constants: policies carry large literal documents. */
import { RegoObject, RegoSet, type Value } from '../value.ts'
import type { Term } from './ir.ts'

type Const = Extract<Term, { kind: 'const' }>

function isConst(term: Term): term is Const {
  return term.kind === 'const'
}

export function foldList(term: Extract<Term, { kind: 'array' | 'set' }>): Term {
  if (!term.items.every(isConst)) return term
  const values = term.items.map((item): Value => item.value)
  return { kind: 'const', value: term.kind === 'set' ? RegoSet.of(values) : values, loc: term.loc }
}

export function foldObject(term: Extract<Term, { kind: 'object' }>): Term {
  const entries: [Value, Value][] = []
  for (const [key, value] of term.entries) {
    if (!isConst(key) || !isConst(value)) return term
    entries.push([key.value, value.value])
  }
  return { kind: 'const', value: RegoObject.of(entries), loc: term.loc }
}
