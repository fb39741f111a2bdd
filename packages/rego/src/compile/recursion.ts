/** Rego has no recursion: a document that needs itself is refused before anything runs. */
import type { RuleSet } from './ir.ts'
import { RegoError } from '../error.ts'

export function checkRecursion(uses: ReadonlyMap<RuleSet, ReadonlySet<RuleSet>>): void {
  const state = new Map<RuleSet, 'open' | 'done'>()
  for (const start of uses.keys()) {
    // Iterative, because a long chain of rules must not exhaust the stack.
    const stack: { set: RuleSet; rest: Iterator<RuleSet> }[] = []
    const open = (set: RuleSet): void => {
      state.set(set, 'open')
      stack.push({ set, rest: (uses.get(set) ?? new Set<RuleSet>()).values() })
    }
    if (!state.has(start)) open(start)
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const { done, value } = top.rest.next()
      if (done === true) {
        state.set(top.set, 'done')
        stack.pop()
      } else if (state.get(value) === 'open')
        refuse(
          stack.map(({ set }) => set),
          value,
        )
      else if (!state.has(value)) open(value)
    }
  }
}

function refuse(chain: readonly RuleSet[], again: RuleSet): never {
  const names = [...chain.slice(chain.indexOf(again)), again].map(
    ({ path }) => `data.${path.join('.')}`,
  )
  const source = again.sources[0] ?? again.defaults[0]
  throw new RegoError(
    'rego.recursion',
    `rule ${names[0]} is recursive: ${names.join(' -> ')}`,
    source?.rule.loc,
  )
}
