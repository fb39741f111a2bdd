/** The tree of virtual documents: packages, and in them the sets of rules that define one document each. */
import type { Module, Rule, Term } from '../ast.ts'
import { RegoError, type Location } from '../error.ts'
import type { RuleKind, RuleSet, RuleSource } from './ir.ts'

export class DataNode {
  readonly path: readonly string[]
  readonly children = new Map<string, DataNode>()
  rules: RuleSet | undefined
  /** Where a package of this path was declared. */
  packageLoc: Location | undefined

  constructor(path: readonly string[]) {
    this.path = path
  }

  child(name: string): DataNode {
    let child = this.children.get(name)
    if (child === undefined) {
      child = new DataNode([...this.path, name])
      this.children.set(name, child)
    }
    return child
  }

  at(path: readonly string[]): DataNode | undefined {
    return path.reduce<DataNode | undefined>((node, name) => node?.children.get(name), this)
  }
}

export interface RuleTree {
  readonly root: DataNode
  readonly sets: readonly RuleSet[]
}

/** Sorts the rules of all modules into the tree and refuses those that contradict each other. */
export function buildRuleTree(modules: readonly Module[]): RuleTree {
  const root = new DataNode([])
  const sets: RuleSet[] = []
  for (const module of modules) {
    const home = module.package.reduce((node, name) => node.child(name), root)
    home.packageLoc ??= module.packageLoc
    for (const rule of module.rules) place(home, module, rule, sets)
  }
  lift(root)
  const kept = sets.filter((set) => set.sources.length + set.defaults.length > 0)
  for (const set of kept) checkSet(set)
  checkOverlaps(root)
  return { root, sets: kept }
}

function place(home: DataNode, module: Module, rule: Rule, sets: RuleSet[]): void {
  const names = staticPrefix(rule)
  const node = names.reduce((at, name) => at.child(name), home)
  const keys = rule.head.ref.slice(names.length)
  if (rule.head.args !== undefined && keys.length > 0)
    throw new RegoError('rego.compile', 'the path of a function must be constant', rule.loc)
  const kind = kindOf(rule, keys)
  node.rules ??= newSet(node.path, kind, rule.head.args, sets)
  const set = node.rules
  if (set.kind !== kind || set.arity !== (rule.head.args?.length ?? 0)) {
    // A default of a multi-value rule's entry, and rules for one and for all entries, go together.
    if (set.kind === 'function' || kind === 'function' || !isMergeable(set, rule, keys))
      throw new RegoError(
        'rego.type',
        `rule conflicts with the following rule: conflicting rules \`data.${set.path.join('.')}\` found`,
        rule.loc,
      )
    set.kind = 'partial'
  }
  const source = { module, rule, keys }
  if (rule.default) set.defaults.push(source)
  else
    for (const body of [rule.body, ...rule.chained])
      set.sources.push({ ...source, ...(body === undefined ? {} : { body }) })
}

function newSet(
  path: readonly string[],
  kind: RuleKind,
  args: readonly Term[] | undefined,
  sets: RuleSet[],
): RuleSet {
  const arity = args?.length ?? 0
  const callable = args !== undefined
  const set: RuleSet = {
    id: sets.length,
    path,
    kind,
    arity,
    callable,
    sources: [],
    defaults: [],
    resolved: [],
    resolvedDefaults: [],
  }
  sets.push(set)
  return set
}

function kindOf(rule: Rule, keys: readonly Term[]): RuleKind {
  if (rule.head.args !== undefined && rule.head.args.length > 0) return 'function'
  return keys.length > 0 || rule.head.key !== undefined ? 'partial' : 'complete'
}

/** `default p = {}` beside `p[x] = y`: the default is a whole document then. */
function isMergeable(set: RuleSet, rule: Rule, keys: readonly Term[]): boolean {
  return (
    (rule.default && keys.length === 0) || (set.sources.length === 0 && set.defaults.length > 0)
  )
}

/** The names of a head that are known before evaluation: `p.q[x].r` has `p.q`. */
export function staticPrefix(rule: Rule): string[] {
  const names: string[] = []
  for (const [index, part] of rule.head.ref.entries()) {
    if (index === 0 && part.kind === 'var') names.push(part.name)
    else if (part.kind === 'scalar' && typeof part.value === 'string') names.push(part.value)
    else break
  }
  return names
}

/** Rules below a path that also has rules with variable keys become rules of that path with constant keys. */
function lift(node: DataNode): void {
  const set = node.rules
  if (set?.kind === 'partial' && hasKeyed(set))
    for (const child of node.children.values()) absorb(set, child, [])
  for (const child of node.children.values()) lift(child)
}

function hasKeyed(set: RuleSet): boolean {
  return [...set.sources, ...set.defaults].some(({ keys }) => keys.length > 0)
}

function absorb(set: RuleSet, node: DataNode, names: readonly string[]): void {
  const below = [...names, node.path.at(-1) as string]
  const own = node.rules
  if (own !== undefined && own.kind !== 'function') {
    const rekey = (source: RuleSource): RuleSource => {
      const { loc } = source.rule.head
      const constants = below.map((value): Term => ({ kind: 'scalar', value, loc }))
      return { ...source, keys: [...constants, ...source.keys] }
    }
    set.sources.push(...own.sources.splice(0).map(rekey))
    set.defaults.push(...own.defaults.splice(0).map(rekey))
    node.rules = undefined
  }
  for (const child of node.children.values()) absorb(set, child, below)
}

function checkSet(set: RuleSet): void {
  const seen = new Set<string>()
  for (const { rule, keys } of set.defaults) {
    const key = JSON.stringify(
      keys.map((term) => (term.kind === 'scalar' ? String(term.value) : '')),
    )
    if (seen.has(key))
      throw new RegoError(
        'rego.type',
        `multiple default rules \`data.${set.path.join('.')}\` found`,
        rule.loc,
      )
    seen.add(key)
  }
  const [first] = set.sources
  if (first === undefined || set.kind !== 'partial') return
  for (const { rule, keys } of set.sources)
    if (keys.length === 0 && isMultiValue(rule) !== isMultiValue(first.rule))
      throw new RegoError(
        'rego.type',
        `rule conflicts with the following rule: conflicting rules \`data.${set.path.join('.')}\` found`,
        rule.loc,
      )
}

function isMultiValue(rule: Rule): boolean {
  return rule.head.key !== undefined
}

/** A complete rule leaves no room for other rules or packages below its path. */
function checkOverlaps(node: DataNode): void {
  const set = node.rules
  if (set !== undefined && node.packageLoc !== undefined)
    throw new RegoError(
      'rego.type',
      `package \`data.${node.path.join('.')}\` conflicts with a rule`,
      node.packageLoc,
    )
  if (set?.kind === 'complete' || (set?.kind === 'partial' && !hasKeyed(set))) {
    const below = findRules(node)
    if (below !== undefined)
      throw new RegoError(
        'rego.type',
        `rule conflicts with the following rule: \`data.${set.path.join('.')}\` leaves no room for rules below it`,
        below,
      )
  }
  for (const child of node.children.values()) checkOverlaps(child)
}

function findRules(node: DataNode): Location | undefined {
  for (const child of node.children.values()) {
    const found =
      child.rules?.kind === 'function'
        ? undefined
        : (child.rules?.sources[0] ?? child.rules?.defaults[0])?.rule.loc
    const location = found ?? findRules(child)
    if (location !== undefined) return location
  }
  return undefined
}
