/** Built-ins over whole documents: `walk`, `json.patch`, `json.filter`, `json.remove`, graphs. */
import {
  equal,
  isArray,
  keyOf,
  lookup,
  ObjectBuilder,
  RegoObject,
  RegoSet,
  type Key,
  type Value,
} from '../value.ts'
import * as operand from './operands.ts'
import { BuiltinError, type Builtin, type BuiltinContext } from './registry.ts'

/** Every value in a document with the path to it. */
function walk(args: readonly Value[], context: BuiltinContext): Value {
  const found: Value[] = []
  const visit = (path: readonly Value[], value: Value): void => {
    context.step()
    context.charge(48 + path.length * 8)
    found.push([path, value])
    for (const [key, member] of membersOf(value)) visit([...path, key], member)
  }
  visit([], operand.value(args, 0))
  return found
}

function* membersOf(value: Value): Iterable<readonly [Value, Value]> {
  if (value instanceof RegoObject) yield* value.entries()
  else if (value instanceof RegoSet) for (const member of value.sorted()) yield [member, member]
  else if (typeof value === 'object' && value !== null && isArray(value)) yield* value.entries()
}

/** A path as text (`a/b`) or array. */
function pathOf(path: Value, context: BuiltinContext): Value[] {
  context.step()
  if (typeof path === 'string') {
    const text = path.replace(/^\/+/, '')
    return text === ''
      ? []
      : text.split('/').map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
  }
  if (typeof path === 'object' && path !== null && isArray(path)) return [...path]
  throw new BuiltinError('paths must be strings or arrays')
}

function pathsOf(args: readonly Value[], at: number, context: BuiltinContext): Value[][] {
  return operand.list(args, at).map((path) => pathOf(path, context))
}

/** What of a document is named by any of the paths. */
interface PathTree {
  whole: boolean
  readonly children: Map<Key, PathTree>
}

function pathTree(paths: readonly (readonly Value[])[]): PathTree {
  const root: PathTree = { whole: false, children: new Map() }
  for (const path of paths) {
    let node = root
    for (const part of path) {
      const key = keyOf(part)
      let child = node.children.get(key)
      if (child === undefined)
        node.children.set(key, (child = { whole: false, children: new Map() }))
      node = child
    }
    node.whole = true
  }
  return root
}

function childOf(tree: PathTree, key: Value): PathTree | undefined {
  return tree.children.get(keyOf(key))
}

function filterJson(args: readonly Value[], context: BuiltinContext): Value {
  return keep(operand.object(args, 0), pathTree(pathsOf(args, 1, context)))
}

function keep(value: Value, tree: PathTree): Value {
  if (tree.whole) return value
  if (value instanceof RegoObject) {
    const builder = new ObjectBuilder()
    for (const [key, member] of value.entries()) {
      const child = childOf(tree, key)
      if (child !== undefined) builder.set(key, keep(member, child))
    }
    return builder.build()
  }
  if (typeof value === 'object' && value !== null && isArray(value))
    return value.flatMap((item, at) => {
      // Upstream knows the indexes of arrays as text only.
      const child = childOf(tree, String(at))
      return child === undefined ? [] : [keep(item, child)]
    })
  if (value instanceof RegoSet)
    return RegoSet.of(
      value.sorted().flatMap((member) => {
        const child = childOf(tree, member)
        return child === undefined ? [] : [keep(member, child)]
      }),
    )
  return value
}

function removeJson(args: readonly Value[], context: BuiltinContext): Value {
  return drop(operand.object(args, 0), pathTree(pathsOf(args, 1, context)))
}

function drop(value: Value, tree: PathTree): Value {
  if (value instanceof RegoObject) {
    const builder = new ObjectBuilder()
    for (const [key, member] of value.entries()) {
      const child = childOf(tree, key)
      if (child === undefined) builder.set(key, member)
      else if (!child.whole) builder.set(key, drop(member, child))
    }
    return builder.build()
  }
  if (typeof value === 'object' && value !== null && isArray(value))
    return value.flatMap((item, at) => {
      const child = childOf(tree, String(at))
      if (child === undefined) return [item]
      return child.whole ? [] : [drop(item, child)]
    })
  if (value instanceof RegoSet)
    return RegoSet.of(
      value.sorted().flatMap((member) => {
        const child = childOf(tree, member)
        if (child === undefined) return [member]
        return child.whole ? [] : [drop(member, child)]
      }),
    )
  return value
}

/** RFC 6902; what cannot be applied makes the call undefined. */
function patch(args: readonly Value[], context: BuiltinContext): Value | undefined {
  let document: Value | undefined = operand.value(args, 0)
  for (const operation of operand.array(args, 1)) {
    context.step()
    if (!(operation instanceof RegoObject))
      throw new BuiltinError('operand 2 must be array of objects')
    document = applyOperation(document, operation, context)
    if (document === undefined) return undefined
  }
  return document
}

function applyOperation(
  document: Value,
  operation: RegoObject,
  context: BuiltinContext,
): Value | undefined {
  const field = (name: string): Value => {
    const value = operation.get(name)
    if (value === undefined) throw new BuiltinError(`missing '${name}' attribute`)
    return value
  }
  const path = pathOf(field('path'), context)
  const op = field('op')
  switch (op) {
    case 'add':
      return insert(document, path, field('value'), context)
    case 'remove':
      return without(document, path, context)
    case 'replace': {
      if (at(document, path) === undefined) return undefined
      return path.length === 0
        ? field('value')
        : change(document, path, () => field('value'), context)
    }
    case 'move': {
      const from = pathOf(field('from'), context)
      const value = at(document, from)
      const rest = value === undefined ? undefined : without(document, from, context)
      return value === undefined || rest === undefined
        ? undefined
        : insert(rest, path, value, context)
    }
    case 'copy': {
      const value = at(document, pathOf(field('from'), context))
      return value === undefined ? undefined : insert(document, path, value, context)
    }
    case 'test': {
      const value = at(document, path)
      return value !== undefined && equal(value, field('value')) ? document : undefined
    }
    default:
      throw new BuiltinError('unrecognized op')
  }
}

function arrayIndex(items: readonly Value[], part: Value): number | undefined {
  if (part === '-') return items.length
  const index = typeof part === 'string' && /^(?:0|[1-9]\d{0,9})$/.test(part) ? Number(part) : part
  return typeof index === 'number' && Number.isInteger(index) && index >= 0 && index <= items.length
    ? index
    : undefined
}

function memberAt(value: Value, part: Value): Value | undefined {
  if (typeof value === 'object' && value !== null && isArray(value)) {
    const index = arrayIndex(value, part)
    return index === undefined ? undefined : value[index]
  }
  return lookup(value, part)
}

function at(document: Value, path: readonly Value[]): Value | undefined {
  let value: Value | undefined = document
  for (const part of path) value = value === undefined ? undefined : memberAt(value, part)
  return value
}

/** The document with the container of the last part changed. */
function edit(
  document: Value,
  path: readonly Value[],
  apply: (container: Value, last: Value) => Value | undefined,
  context: BuiltinContext,
): Value | undefined {
  context.step()
  const [first, ...rest] = path
  if (first === undefined) return undefined
  if (rest.length === 0) return apply(document, first)
  const member = memberAt(document, first)
  const changed = member === undefined ? undefined : edit(member, rest, apply, context)
  return changed === undefined ? undefined : put(document, first, changed, context)
}

function put(
  container: Value,
  part: Value,
  value: Value,
  context: BuiltinContext,
): Value | undefined {
  if (container instanceof RegoObject) {
    context.charge(32 * container.size)
    const builder = container.toBuilder()
    builder.set(part, value)
    return builder.build()
  }
  if (container instanceof RegoSet)
    return RegoSet.of([...[...container.unsorted()].filter((item) => !equal(item, part)), value])
  if (typeof container !== 'object' || container === null || !isArray(container)) return undefined
  const index = arrayIndex(container, part)
  if (index === undefined || index >= container.length) return undefined
  context.charge(8 * container.length)
  return container.with(index, value)
}

function change(
  document: Value,
  path: readonly Value[],
  value: () => Value,
  context: BuiltinContext,
): Value | undefined {
  return edit(document, path, (container, last) => put(container, last, value(), context), context)
}

function insert(
  document: Value,
  path: readonly Value[],
  value: Value,
  context: BuiltinContext,
): Value | undefined {
  if (path.length === 0) return value
  return edit(
    document,
    path,
    (container, last) => {
      if (container instanceof RegoSet) {
        if (!equal(last, value)) return undefined
        return RegoSet.of([...container.unsorted(), value])
      }
      if (typeof container !== 'object' || container === null || !isArray(container))
        return put(container, last, value, context)
      const index = arrayIndex(container, last)
      context.charge(8 * container.length)
      return index === undefined ? undefined : container.toSpliced(index, 0, value)
    },
    context,
  )
}

function without(
  document: Value,
  path: readonly Value[],
  context: BuiltinContext,
): Value | undefined {
  return edit(
    document,
    path,
    (container, last) => {
      if (memberAt(container, last) === undefined) return undefined
      context.charge(16)
      if (container instanceof RegoObject) {
        const builder = container.toBuilder()
        builder.delete(last)
        return builder.build()
      }
      if (container instanceof RegoSet)
        return RegoSet.of([...container.unsorted()].filter((item) => !equal(item, last)))
      const items = container as readonly Value[]
      return items.toSpliced(arrayIndex(items, last) as number, 1)
    },
    context,
  )
}

function neighbours(graph: RegoObject, vertex: Value): readonly Value[] {
  const edges = graph.get(vertex)
  if (edges instanceof RegoSet) return edges.sorted()
  return edges !== undefined && typeof edges === 'object' && edges !== null && isArray(edges)
    ? edges
    : []
}

function reachable(args: readonly Value[], context: BuiltinContext): Value {
  const graph = operand.object(args, 0)
  const reached = new Map<Key, Value>()
  const queue = [...operand.list(args, 1)]
  for (let vertex = queue.shift(); vertex !== undefined; vertex = queue.shift()) {
    context.step()
    const key = keyOf(vertex)
    if (reached.has(key) || !graph.has(vertex)) continue
    reached.set(key, vertex)
    queue.push(...neighbours(graph, vertex))
  }
  return new RegoSet(reached)
}

/** All paths that cannot be made longer; one that returns to a vertex on it ends there. */
function reachablePaths(args: readonly Value[], context: BuiltinContext): Value {
  const graph = operand.object(args, 0)
  const paths = new Map<Key, Value>()
  const extend = (path: readonly Value[], on: ReadonlySet<Key>): void => {
    context.step()
    context.charge(32 + path.length * 8)
    const next = neighbours(graph, path.at(-1) as Value).filter(
      (vertex) => graph.has(vertex) && !on.has(keyOf(vertex)),
    )
    if (next.length === 0) paths.set(keyOf(path), path)
    for (const vertex of next) extend([...path, vertex], new Set([...on, keyOf(vertex)]))
  }
  for (const start of operand.list(args, 1))
    if (graph.has(start)) extend([start], new Set([keyOf(start)]))
  return new RegoSet(paths)
}

export const DOCUMENTS: Readonly<Record<string, Builtin>> = {
  walk: { arity: 1, relation: true, call: walk },
  'json.filter': { arity: 2, call: filterJson },
  'json.remove': { arity: 2, call: removeJson },
  'json.patch': { arity: 2, call: patch },
  'graph.reachable': { arity: 2, call: reachable },
  'graph.reachable_paths': { arity: 2, call: reachablePaths },
}
