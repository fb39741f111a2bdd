/** JSON Patch (RFC 6902) for hosts: Kata's agent applies the `ops` of a decision to the state that later ones see. */
import { DOCUMENTS } from './builtins/documents.ts'
import { BuiltinError, type Builtin } from './builtins/registry.ts'
import { DEFAULT_LIMITS, Run } from './evaluate/run.ts'
import { fromJson } from './json.ts'
import type { Value } from './value.ts'

/**
 * Applies operations to a document, all or none.
 *
 * @param document - plain JSON or a {@link Value}; left as it is
 * @returns the new document, ready to be given as `data`; undefined when an operation cannot be applied
 * @throws RegoError when a limit is reached or something is no JSON
 */
export function applyPatch(document: unknown, operations: unknown): Value | undefined {
  const run = new Run({
    limits: DEFAULT_LIMITS,
    clock: () => performance.now(),
    nowNs: 0n,
    crypto: undefined,
    strictBuiltinErrors: true,
  })
  const patch = DOCUMENTS['json.patch'] as Builtin
  try {
    return patch.call([fromJson(document), fromJson(operations)], run)
  } catch (error) {
    if (error instanceof BuiltinError) return undefined
    throw error
  }
}
