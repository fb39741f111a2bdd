/** A regular expression as instructions of Thompson's machine. */
import { BuiltinError } from '../builtins/registry.ts'
import { compileSet } from './char-set.ts'
import type { Assertion, Node, Syntax } from './syntax.ts'

export type Instruction =
  | { readonly op: 'char'; readonly test: (code: number) => boolean; readonly next: number }
  | { readonly op: 'split'; readonly first: number; readonly second: number }
  | { readonly op: 'save'; readonly slot: number; readonly next: number }
  | { readonly op: 'assert'; readonly what: Assertion; readonly next: number }
  | { readonly op: 'match' }

export interface Program {
  readonly code: readonly Instruction[]
  readonly start: number
  /** Groups and the whole match. */
  readonly groups: number
  readonly names: ReadonlyMap<string, number>
}

/** Nested counted repetitions multiply; RE2 bounds the same. */
const MAX_INSTRUCTIONS = 20_000

export function compileProgram({ node, groups, names }: Syntax): Program {
  const code: Instruction[] = [{ op: 'match' }]
  const emit = (instruction: Instruction): number => {
    if (code.length >= MAX_INSTRUCTIONS)
      throw new BuiltinError('error parsing regexp: expression is too large')
    return code.push(instruction) - 1
  }
  const body = build({ kind: 'group', node, index: 0 }, 0, emit, code)
  return { code, start: body, groups: groups + 1, names }
}

/** Emits `node` followed by the instruction `next`; returns where it starts. */
function build(
  node: Node,
  next: number,
  emit: (instruction: Instruction) => number,
  code: Instruction[],
): number {
  switch (node.kind) {
    case 'empty':
      return next
    case 'set':
      return emit({ op: 'char', test: compileSet(node.set, node.ignoreCase), next })
    case 'assert':
      return emit({ op: 'assert', what: node.what, next })
    case 'group': {
      const close = emit({ op: 'save', slot: node.index * 2 + 1, next })
      return emit({ op: 'save', slot: node.index * 2, next: build(node.node, close, emit, code) })
    }
    case 'sequence':
      return node.nodes.reduceRight((after, item) => build(item, after, emit, code), next)
    case 'choice': {
      const starts = node.nodes.map((item) => build(item, next, emit, code))
      return starts.reduceRight((second, first) => emit({ op: 'split', first, second }))
    }
    case 'repeat':
      return buildRepeat(node, next, emit, code)
    default:
      return node satisfies never
  }
}

function buildRepeat(
  { node, min, max, lazy }: Extract<Node, { kind: 'repeat' }>,
  next: number,
  emit: (instruction: Instruction) => number,
  code: Instruction[],
): number {
  const split = (into: number, past: number): Instruction =>
    lazy ? { op: 'split', first: past, second: into } : { op: 'split', first: into, second: past }
  let after = next
  if (max === Infinity) {
    // The loop's own place is known before its body.
    const loop = emit({ op: 'match' })
    code[loop] = split(build(node, loop, emit, code), next)
    after = loop
  } else
    for (let count = min; count < max; count++)
      after = emit(split(build(node, after, emit, code), next))
  for (let count = 0; count < min; count++) after = build(node, after, emit, code)
  return after
}
