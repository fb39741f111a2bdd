/** Gives every name its meaning: syntax tree in, resolved rules and queries out. */
import type { RuleSet, RuleSource } from './ir.ts'
import type * as ast from '../ast.ts'
import type { Builtins } from '../builtins/registry.ts'
import { RegoError, type Location } from '../error.ts'
import { RegoObject, type Value } from '../value.ts'
import type {
  Branch,
  Callee,
  Closure,
  Expr,
  Local,
  ResolvedRule,
  Term,
  With,
  WithTarget,
} from './ir.ts'
import type { DataNode } from './rule-tree.ts'
import { Scope, Slots } from './scope.ts'
import {
  holdsRules,
  checkAssignable,
  constantPath,
  documentRef,
  mayIterate,
  checkArrayPattern,
} from './static.ts'
import { annotationsOf, metadataChain, ruleMetadata, type Annotation } from '../metadata.ts'
import { foldList, foldObject } from './fold.ts'
import { declaredNames, directNames, patternNames } from './names.ts'

/** Where names of one module lead. */
interface ModuleNames {
  readonly package: readonly string[]
  /** First names of the rules of the package. */
  readonly node: DataNode | undefined
  /** Alias to path, `input` and `data` included in the path. */
  readonly imports: ReadonlyMap<string, readonly string[]>
  readonly strictRoots: boolean
}

const ROOTS = new Set(['input', 'data'])

export class Resolver {
  readonly #root: DataNode
  readonly #builtins: Builtins
  readonly #modules = new Map<ast.Module, ModuleNames>()
  readonly #allModules: readonly ast.Module[]
  #allAnnotations: readonly Annotation[] | undefined

  constructor(root: DataNode, builtins: Builtins, modules: readonly ast.Module[] = []) {
    this.#allModules = modules
    this.#root = root
    this.#builtins = builtins
  }

  /** Resolves all rules of one document. */
  resolveSet(set: RuleSet): void {
    set.resolved = set.sources.map((source) =>
      this.#names(source.module).resolveRule(source, this.#metadata(source)),
    )
    set.resolvedDefaults = set.defaults.map((source) =>
      this.#names(source.module).resolveRule(source, this.#metadata(source)),
    )
  }

  /** Resolves a query; its named variables are the bindings of the results. */
  resolveQuery(body: ast.Body): { body: Expr[]; locals: Map<string, Local>; slots: Slots } {
    const names = { package: [], node: undefined, imports: new Map(), strictRoots: false }
    return new NameResolver(names, this.#root, this.#builtins).resolveQuery(body)
  }

  #names(module: ast.Module): NameResolver {
    let names = this.#modules.get(module)
    if (names === undefined) {
      names = {
        package: module.package,
        node: this.#root.at(module.package),
        imports: importsOf(module),
        strictRoots: module.version === 'v1',
      }
      this.#modules.set(module, names)
    }
    return new NameResolver(names, this.#root, this.#builtins)
  }

  /** The value of `rego.metadata.*` in a rule. */
  #metadata({ module, rule }: RuleSource): Metadata {
    return {
      rule: () => ruleMetadata(this.#annotations(), module, rule),
      chain: () => metadataChain(this.#annotations(), module, rule),
    }
  }

  #annotations(): readonly Annotation[] {
    this.#allAnnotations ??= this.#allModules.flatMap(annotationsOf)
    return this.#allAnnotations
  }
}

/** What `rego.metadata.rule()` and `.chain()` are, made when asked for. */
interface Metadata {
  readonly rule: () => Value
  readonly chain: () => Value
}

function importsOf(module: ast.Module): Map<string, readonly string[]> {
  const imports = new Map<string, readonly string[]>()
  for (const { path, alias, loc } of module.imports) {
    if (path[0] === 'future' || path[0] === 'rego') continue
    const name = alias ?? path[path.length - 1] ?? ''
    if (path.length === 1 && name === path[0]) continue
    if (ROOTS.has(name) && module.version === 'v1')
      throw new RegoError('rego.compile', `${name} cannot be shadowed`, loc)
    const earlier = imports.get(name)
    if (earlier !== undefined && module.version === 'v1')
      throw new RegoError(
        'rego.compile',
        `this import shadows previous import \`${earlier.join('.')}\``,
        loc,
      )
    imports.set(name, path)
  }
  return imports
}

class NameResolver {
  readonly #names: ModuleNames
  readonly #root: DataNode
  readonly #builtins: Builtins
  #slots = new Slots()
  #metadata: Metadata | undefined

  constructor(names: ModuleNames, root: DataNode, builtins: Builtins) {
    this.#names = names
    this.#root = root
    this.#builtins = builtins
  }

  resolveQuery(body: ast.Body): { body: Expr[]; locals: Map<string, Local>; slots: Slots } {
    const scope = new Scope(this.#slots)
    const resolved = this.#body(body, scope, [])
    return { body: resolved, locals: scope.visible(), slots: this.#slots }
  }

  resolveRule(source: RuleSource, metadata: Metadata): ResolvedRule {
    this.#metadata = metadata
    const { rule } = source
    this.#slots = new Slots()
    this.#checkRoot(rule.head.ref[0], rule.loc)
    const scope = new Scope(this.#slots)
    const args = rule.head.args?.map((arg) => this.#argument(arg, scope))
    const bodies = [
      this.#branch(source, source.body, rule.head.value, scope, rule.loc),
      ...rule.elses.map((branch) =>
        this.#branch(source, branch.body, branch.value, scope, branch.loc),
      ),
    ]
    return {
      ...(args === undefined ? {} : { args }),
      branches: bodies,
      slots: this.#slots.count,
      loc: rule.loc,
    }
  }

  #checkRoot(term: ast.Term | undefined, loc: Location): void {
    if (term?.kind === 'var' && ROOTS.has(term.name) && this.#names.strictRoots)
      throw new RegoError('rego.compile', `${term.name} cannot be shadowed`, loc)
  }

  #argument(arg: ast.Term, scope: Scope): Term {
    for (const name of patternNames(arg)) {
      if (ROOTS.has(name) && this.#names.strictRoots)
        throw new RegoError('rego.compile', `${name} cannot be shadowed`, arg.loc)
      if (scope.own(name) === undefined) scope.declare(name, 'argument')
    }
    return this.#term(arg, scope)
  }

  #branch(
    { rule, keys }: RuleSource,
    body: ast.Body | undefined,
    value: ast.Term | undefined,
    args: Scope,
    loc: Location,
  ): Branch {
    const scope = new Scope(this.#slots, args)
    const headTerms = [...keys, ...(value === undefined ? [] : [value])]
    if (rule.head.key !== undefined) headTerms.push(rule.head.key)
    const exprs = this.#body(body ?? [], scope, headTerms)
    const member = rule.head.key
    const resolved = {
      keys: keys.map((key) => this.#headTerm(key, scope, exprs)),
      ...(member === undefined ? {} : { member: this.#headTerm(member, scope, exprs) }),
      body: exprs,
      loc,
    }
    if (member !== undefined) return resolved
    const yielded: Term =
      value === undefined
        ? { kind: 'const', value: true, loc }
        : this.#headTerm(value, scope, exprs)
    return { ...resolved, value: yielded }
  }

  /** A head's term is an expression of the body, so that it may iterate like any other. */
  #headTerm(term: ast.Term, scope: Scope, body: Expr[]): Term {
    const resolved = this.#term(term, scope)
    if (!mayIterate(resolved)) return resolved
    const local: Term = { kind: 'local', local: this.#slots.take('head'), loc: term.loc }
    body.push({ kind: 'unify', left: local, right: resolved, with: [], loc: term.loc })
    return local
  }

  /** Resolves a body in `scope`; `alsoUsed` are terms of the head that share its variables. */
  #body(body: ast.Body, scope: Scope, alsoUsed: readonly ast.Term[]): Expr[] {
    const declared = new Set(body.flatMap((expr) => declaredNames(expr)))
    for (const name of directNames(body, alsoUsed))
      if (!declared.has(name) && !scope.has(name) && this.#global(name) === undefined)
        scope.declare(name, 'implicit')
    return body.flatMap((expr) => this.#expr(expr, scope))
  }

  #closure(body: ast.Body, scope: Scope, alsoUsed: readonly ast.Term[]): Closure {
    return { body: this.#body(body, scope, alsoUsed), captures: scope.captures }
  }

  #expr(expr: ast.Expr, scope: Scope): Expr[] {
    const modifiers = expr.with.map((modifier) => this.#with(modifier, scope))
    const common = { with: modifiers, loc: expr.loc }
    switch (expr.kind) {
      case 'term':
        return this.#termExpr(expr.term, scope, common)
      case 'assign': {
        checkAssignable(expr.left)
        const right = this.#term(expr.right, scope)
        this.#declarePattern(expr.left, scope, 'assigned')
        return this.#unify(this.#term(expr.left, scope), right, common)
      }
      case 'unify':
        return this.#unify(this.#term(expr.left, scope), this.#term(expr.right, scope), common)
      case 'some':
        for (const { name, loc } of expr.vars) this.#declare(name, scope, 'declared', loc)
        return []
      case 'some-in':
        return [this.#someIn(expr, scope, common)]
      case 'not':
        return [{ kind: 'not', expr: this.#expr(expr.expr, scope), ...common }]
      case 'every':
        return [this.#every(expr, scope, common)]
      default:
        return expr satisfies never
    }
  }

  #termExpr(term: ast.Term, scope: Scope, common: { with: With[]; loc: Location }): Expr[] {
    const resolved = this.#term(term, scope, true)
    if (resolved.kind !== 'call' || resolved.args.length <= arityOf(resolved.callee))
      return [{ kind: 'test', term: resolved, ...common }]
    if (resolved.callee.kind === 'builtin' && resolved.callee.builtin.variadic === true)
      return [{ kind: 'test', term: resolved, ...common }]
    // `count(xs, n)` is the old way to write `n = count(xs)`.
    const right: Term = { ...resolved, args: resolved.args.slice(0, -1) }
    return this.#unify(resolved.args.at(-1) as Term, right, common)
  }

  /** Unification of two literals is unification of their parts, each ordered on its own. */
  #unify(left: Term, right: Term, common: { with: With[]; loc: Location }): Expr[] {
    if (common.with.length === 0 && left.kind === 'array' && right.kind === 'array')
      if (left.items.length === right.items.length)
        return left.items.flatMap((item, at) => this.#unify(item, right.items[at] as Term, common))
    return [{ kind: 'unify', left, right, ...common }]
  }

  #someIn(expr: ast.SomeInExpr, scope: Scope, common: { with: With[]; loc: Location }): Expr {
    const domain = this.#term(expr.domain, scope)
    if (domain.kind === 'const' && (typeof domain.value !== 'object' || domain.value === null))
      throw new RegoError(
        'rego.type',
        '`some .. in collection` expects array/set/object.',
        expr.domain.loc,
      )
    for (const pattern of expr.key === undefined ? [expr.value] : [expr.key, expr.value])
      this.#declarePattern(pattern, scope, 'declared')
    const value = this.#term(expr.value, scope)
    checkArrayPattern(value, domain)
    return {
      kind: 'some-in',
      ...(expr.key === undefined ? {} : { key: this.#term(expr.key, scope) }),
      value,
      domain,
      ...common,
    }
  }

  #every(expr: ast.EveryExpr, scope: Scope, common: { with: With[]; loc: Location }): Expr {
    const domain = this.#term(expr.domain, scope)
    const inner = new Scope(this.#slots, scope)
    const declare = ({ name }: ast.VarTerm): Local =>
      name === '_' ? inner.wildcard() : inner.declare(name, 'declared')
    const key = expr.key && declare(expr.key)
    const value = declare(expr.value)
    const closure = this.#closure(expr.body, new Scope(this.#slots, inner), [])
    const captures = new Set(
      [...closure.captures].filter((local) => local !== key && local !== value),
    )
    return {
      kind: 'every',
      ...(key === undefined ? {} : { key }),
      value,
      domain,
      closure: { ...closure, captures },
      ...common,
    }
  }

  #declarePattern(pattern: ast.Term, scope: Scope, how: 'declared' | 'assigned'): void {
    for (const name of new Set(patternNames(pattern))) this.#declare(name, scope, how, pattern.loc)
  }

  #declare(name: string, scope: Scope, how: 'declared' | 'assigned', loc: Location): void {
    if (name === '_') return
    if (ROOTS.has(name) && this.#names.strictRoots)
      throw new RegoError('rego.compile', `${name} cannot be shadowed`, loc)
    if (scope.parent?.own(name)?.how === 'argument')
      throw new RegoError('rego.compile', `arg ${name} redeclared`, loc)
    const own = scope.own(name)
    if (own !== undefined) {
      const when = own.how === 'implicit' ? 'referenced' : own.how
      throw new RegoError('rego.compile', `var ${name} ${when} above`, loc)
    }
    if (scope.referenced(name))
      throw new RegoError('rego.compile', `var ${name} referenced above`, loc)
    scope.declare(name, how)
  }

  #with(modifier: ast.With, scope: Scope): With {
    const target = this.#withTarget(modifier)
    if (target.kind === 'function') {
      const callee = this.#calleeOf(modifier.value)
      if (callee !== undefined) return { target, value: callee }
    }
    return { target, value: this.#term(modifier.value, scope) }
  }

  #withTarget({ target, loc }: ast.With): WithTarget {
    const callee = this.#calleeOf(target)
    if (callee !== undefined) return { kind: 'function', callee }
    const path = constantPath(target)
    const [root, ...rest] = path === undefined ? [] : this.#absolute(path)
    if (root === 'input' || root === 'data') return { kind: root, path: rest }
    throw new RegoError('rego.type', '`with` must name `input`, `data` or a function', loc)
  }

  #calleeOf(term: ast.Term): Callee | undefined {
    const path = constantPath(term)
    return path === undefined ? undefined : this.#callee(path)
  }

  /** A path from `input` or `data`, through imports and the package's own rules. */
  #absolute(path: readonly string[]): readonly string[] {
    const [first = '', ...rest] = path
    const global = this.#global(first)
    return global === undefined ? path : [...global, ...rest]
  }

  /** What a name means that is no variable: a rule of the package, an import, a root document. */
  #global(name: string): readonly string[] | undefined {
    if (this.#names.node?.children.has(name) === true && this.#isRule(name))
      return ['data', ...this.#names.package, name]
    const path = this.#names.imports.get(name)
    if (path !== undefined) return path
    return ROOTS.has(name) ? [name] : undefined
  }

  /** Packages below this one are no names in it. */
  #isRule(name: string): boolean {
    const node = this.#names.node?.children.get(name)
    return node !== undefined && holdsRules(node)
  }

  /** The function at a path as written. Imports go before the package's rules, as upstream has it. */
  #callee(path: readonly string[]): Callee | undefined {
    const [first = '', ...rest] = path
    const imported = this.#names.imports.get(first)
    if (imported !== undefined) return this.#ruleCallee([...imported, ...rest])
    if (first === 'data') return this.#ruleCallee(path)
    const own = this.#ruleCallee(['data', ...this.#names.package, ...path])
    if (own !== undefined) return own
    const name = path.join('.')
    const builtin = this.#builtins.get(name)
    if (builtin === undefined || (builtin.deprecated === true && this.#names.strictRoots))
      return undefined
    return { kind: 'builtin', name, builtin }
  }

  #ruleCallee(path: readonly string[]): Callee | undefined {
    const rules = path[0] === 'data' ? this.#root.at(path.slice(1))?.rules : undefined
    if (rules === undefined || !rules.callable) return undefined
    return { kind: 'rule', name: path.join('.'), rules }
  }

  #term(term: ast.Term, scope: Scope, outputAllowed = false): Term {
    const { loc } = term
    switch (term.kind) {
      case 'scalar':
        return { kind: 'const', value: term.value, loc }
      case 'var':
        return this.#var(term.name, scope, loc)
      case 'ref':
        return this.#ref(term, scope)
      case 'array':
      case 'set': {
        const items = term.items.map((item) => this.#term(item, scope))
        return foldList({ kind: term.kind, items, loc })
      }
      case 'object': {
        const entries = term.entries.map(
          ([key, value]) => [this.#term(key, scope), this.#term(value, scope)] as const,
        )
        return foldObject({ kind: 'object', entries, loc })
      }
      case 'call':
        return this.#call(term, scope, outputAllowed)
      case 'template': {
        const parts = term.parts.map((part) =>
          typeof part === 'string' ? part : this.#term(part, scope),
        )
        return { kind: 'template', parts, loc }
      }
      default:
        return this.#comprehension(term, scope)
    }
  }

  #comprehension(
    term: ast.ArrayComprehension | ast.SetComprehension | ast.ObjectComprehension,
    outer: Scope,
  ): Term {
    const scope = new Scope(this.#slots, outer)
    const isObject = term.kind === 'object-comprehension'
    const heads = isObject ? [term.key, term.value] : [term.term]
    const body = this.#body(term.body, scope, heads)
    const [first, second] = heads.map((head) => this.#headTerm(head, scope, body))
    const closure = { body, captures: scope.captures }
    const { loc } = term
    if (isObject)
      return {
        kind: 'comprehension',
        type: 'object',
        key: first as Term,
        value: second as Term,
        closure,
        loc,
      }
    const type = term.kind === 'array-comprehension' ? 'array' : 'set'
    return { kind: 'comprehension', type, value: first as Term, closure, loc }
  }

  #var(name: string, scope: Scope, loc: Location): Term {
    if (name === '_') return { kind: 'local', local: scope.wildcard(), loc }
    const local = scope.find(name)
    if (local !== undefined) return { kind: 'local', local, loc }
    const global = this.#global(name)
    if (global !== undefined) {
      scope.noteReference(name)
      return documentRef(global, [], loc)
    }
    throw new RegoError('rego.unsafe-var', `var ${name} is unsafe`, loc)
  }

  #ref(term: ast.RefTerm, scope: Scope): Term {
    const path = term.path.map((part) => this.#term(part, scope))
    const head = this.#term(term.head, scope)
    if (head.kind === 'ref') return { ...head, path: [...head.path, ...path], loc: term.loc }
    return { kind: 'ref', head, path, loc: term.loc }
  }

  #call(term: ast.CallTerm, scope: Scope, outputAllowed: boolean): Term {
    const path = constantPath(term.operator) ?? []
    const name = path.join('.')
    if (name === 'rego.metadata.rule' || name === 'rego.metadata.chain')
      return this.#annotated(name, term)
    const callee = this.#callee(path)
    if (callee === undefined)
      throw new RegoError('rego.type', `could not find function ${name}`, term.loc)
    const arity = arityOf(callee)
    const variadic = callee.kind === 'builtin' && callee.builtin.variadic === true
    const given = term.args.length
    if (!variadic && given !== arity && !(outputAllowed && given === arity + 1))
      throw new RegoError(
        'rego.type',
        `\`${name}\` expects ${arity} argument${arity === 1 ? '' : 's'}, got ${given}`,
        term.loc,
      )
    const args = term.args.map((arg) => this.#term(arg, scope))
    return { kind: 'call', callee, args, loc: term.loc }
  }

  /** Annotations are known when a rule is compiled, so the call is a constant. */
  #annotated(name: string, { args, loc }: ast.CallTerm): Term {
    if (args.length > 0) throw new RegoError('rego.type', `\`${name}\` expects 0 arguments`, loc)
    const value = name === 'rego.metadata.rule' ? this.#metadata?.rule() : this.#metadata?.chain()
    return { kind: 'const', value: value ?? RegoObject.empty, loc }
  }
}

export function arityOf(callee: Callee): number {
  return callee.kind === 'builtin' ? callee.builtin.arity : callee.rules.arity
}
