/** V8's collector, called by name, which needs no option of the process. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** `minor`: what was allocated lately. `last-resort`: everything, and compiled code that is not in use. */
export type Collection =
  | { readonly type: 'minor' }
  | { readonly type: 'major'; readonly flavor: 'last-resort' }

let gc: ((collection: Collection) => void) | undefined

export function collectGarbage(collection: Collection): void {
  if (gc === undefined) {
    setFlagsFromString('--expose-gc')
    gc = runInNewContext('gc') as (collection: Collection) => void
    // V8 takes nothing that was compiled beforehand under other flags.
    setFlagsFromString('--no-expose-gc')
  }
  gc(collection)
}
