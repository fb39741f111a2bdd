/** Where tests find the recorded samples: `$CLOISTER_VECTORS`, else `../shared/vectors` beside the repository. Node, tests only. */
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { join } from 'node:path'

const FOLDER =
  process.env['CLOISTER_VECTORS'] ??
  fileURLToPath(new URL('../../../../../shared/vectors', import.meta.url))

/** Options for `test()`: skips, saying why, where the samples are not there. */
export const WITH_VECTORS: { readonly skip: string | false } = {
  skip: existsSync(FOLDER) ? false : `no vectors in ${FOLDER}; set CLOISTER_VECTORS`,
}

export function vectorPath(path: string): string {
  return join(FOLDER, path)
}

export function vector(path: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(vectorPath(path)))
}
