/** `with`: the context that an expression runs in. */
import { Context, type Frame, type Mock } from '../evaluate/context.ts'
import { RegoObject, type Value } from '../value.ts'
import type { Eval } from './closures.ts'
import type { Callee, With } from './ir.ts'

export interface Setter {
  readonly target: With['target']
  readonly value: Eval | { readonly kind: 'callee'; readonly callee: Callee }
}

/** The context that modifiers make; undefined when one of their values is. */
export function changeContext(
  outer: Context,
  setters: readonly Setter[],
  frame: Frame,
): Context | undefined {
  let { input, data } = outer
  const mocks = new Map<string, Mock>(outer.mocks)
  const masks = [...(outer.masks ?? [])]
  for (const { target, value } of setters) {
    const mock: Mock | undefined = typeof value === 'function' ? valueMock(value(frame)) : value
    if (mock === undefined) return undefined
    if (target.kind === 'function') mocks.set(target.callee.name, mock)
    else if (mock.kind === 'value') {
      if (target.kind === 'input') input = put(input, target.path, mock.value)
      else {
        data = put(data, target.path, mock.value)
        masks.push(target.path)
      }
    }
  }
  return new Context({
    run: outer.run,
    input,
    data,
    documents: outer.cache.length,
    mocks: mocks.size === 0 ? undefined : mocks,
    masks: masks.length === 0 ? undefined : masks,
    parent: outer,
    tracer: outer.tracer,
  })
}

function valueMock(value: Value | undefined): Mock | undefined {
  return value === undefined ? undefined : { kind: 'value', value }
}

/** `document` with `value` at `path`; what is no object on the way is replaced by one. */
function put(document: Value | undefined, path: readonly string[], value: Value): Value {
  const [name, ...rest] = path
  if (name === undefined) return value
  const object = document instanceof RegoObject ? document : RegoObject.empty
  const builder = object.toBuilder()
  builder.set(name, put(object.get(name), rest, value))
  return builder.build()
}
