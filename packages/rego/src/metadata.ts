/**
 * Annotations: blocks of comments that start with `# METADATA` and hold YAML, in front of a rule or the package.
 * `rego.metadata.rule()` gives the annotations of the rule it stands in, `rego.metadata.chain()` those from the
 * rule up to its packages.
 */
import type { Comment, Module, Rule } from './ast.ts'
import { parseYaml, YamlError } from './encoding/yaml.ts'
import { RegoError, type Location } from './error.ts'
import { RegoObject, type Value } from './value.ts'

export type Scope = 'rule' | 'document' | 'package' | 'subpackages'

export interface Annotation {
  readonly scope: Scope
  /** The whole block. */
  readonly value: RegoObject
  /** The path of what it annotates, from `data` on. */
  readonly path: readonly string[]
  /** Where the rule or the package begins. */
  readonly target: Location
}

const SCOPES: ReadonlySet<string> = new Set(['rule', 'document', 'package', 'subpackages'])

/** All annotations of a module. @throws RegoError `rego.parse` for a block that is no YAML or has no target */
export function annotationsOf(module: Module): Annotation[] {
  return blocks(module.comments).map((block) => annotation(module, block))
}

/** Runs of comments on lines of their own, from `METADATA` on. */
function blocks(comments: readonly Comment[]): Comment[][] {
  const found: Comment[][] = []
  let open: Comment[] | undefined
  let row = 0
  for (const comment of comments) {
    const isNext = open !== undefined && comment.loc.row === row + 1 && comment.ownLine
    if (comment.ownLine && comment.text.trim() === 'METADATA') {
      open = [comment]
      found.push(open)
    } else if (isNext) open?.push(comment)
    else open = undefined
    row = comment.loc.row
  }
  return found
}

function annotation(module: Module, block: readonly Comment[]): Annotation {
  const [first, ...lines] = block
  const start = (first as Comment).loc
  const end = (block.at(-1) as Comment).loc
  const rule = module.rules.find(({ loc }) => loc.offset > end.offset)
  const isPackage = module.packageLoc.offset > end.offset
  if (!isPackage && rule === undefined)
    throw new RegoError('rego.parse', 'annotations without a rule', start)
  const value = blockValue(lines, start)
  const given = value.get('scope') ?? (isPackage ? 'package' : 'rule')
  if (typeof given !== 'string' || !SCOPES.has(given))
    throw new RegoError('rego.parse', 'unknown scope of annotations', start)
  const scope = given as Scope
  const ofPackage = scope === 'package' || scope === 'subpackages'
  if (ofPackage !== isPackage)
    throw new RegoError('rego.parse', 'the scope does not fit what follows', start)
  return {
    scope,
    value: RegoObject.of([['scope', scope], ...value.entries()]),
    path: isPackage ? module.package : [...module.package, ...rulePath(rule as Rule)],
    target: isPackage ? module.packageLoc : (rule as Rule).loc,
  }
}

function blockValue(lines: readonly Comment[], start: Location): RegoObject {
  try {
    const value = parseYaml(lines.map(({ text }) => text.replace(/^ /, '')).join('\n'))
    if (value instanceof RegoObject) return value
  } catch (error) {
    if (!(error instanceof YamlError)) throw error
  }
  throw new RegoError('rego.parse', 'the annotations are no YAML mapping', start)
}

/** The constant part of a rule's head. */
function rulePath({ head }: Rule): string[] {
  const names: string[] = []
  for (const part of head.ref) {
    if (part.kind === 'var' && names.length === 0) names.push(part.name)
    else if (part.kind === 'scalar' && typeof part.value === 'string') names.push(part.value)
    else break
  }
  return names
}

/** What `rego.metadata.rule()` is in a rule: its annotations, else those of its document, else empty. */
export function ruleMetadata(
  annotations: readonly Annotation[],
  module: Module,
  rule: Rule,
): Value {
  const path = [...module.package, ...rulePath(rule)]
  const own = annotations.find(({ scope, target }) => scope === 'rule' && target === rule.loc)
  const ofDocument = annotations.find(
    ({ scope, path: other }) => scope === 'document' && samePath(path, other),
  )
  return (own ?? ofDocument)?.value ?? RegoObject.empty
}

/** What `rego.metadata.chain()` is in a rule: entries with `path` and `annotations`, the rule first. */
export function metadataChain(
  annotations: readonly Annotation[],
  module: Module,
  rule: Rule,
): Value {
  const path = [...module.package, ...rulePath(rule)]
  const chain: Annotation[] = []
  chain.push(...annotations.filter(({ scope, target }) => scope === 'rule' && target === rule.loc))
  chain.push(
    ...annotations.filter(
      ({ scope, path: other }) => scope === 'document' && samePath(path, other),
    ),
  )
  chain.push(
    ...annotations.filter(
      ({ scope, path: other }) => scope === 'package' && samePath(module.package, other),
    ),
  )
  const above = annotations.filter(
    ({ scope, path: other }) =>
      scope === 'subpackages' && other.every((name, at) => module.package[at] === name),
  )
  chain.push(...above.sort((a, b) => b.path.length - a.path.length))
  const entries = chain.map(({ path: at, value }) =>
    RegoObject.of([
      ['path', [...at]],
      ['annotations', value],
    ]),
  )
  const hasRule = chain.some(({ scope }) => scope === 'rule' || scope === 'document')
  return hasRule ? entries : [RegoObject.of([['path', path]]), ...entries]
}

function samePath(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((name, at) => name === b[at])
}
