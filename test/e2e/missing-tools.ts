/** Programs that the machine lacks come from Debian's packages, into Cloister's cache. */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { findTool } from '../interop/tools.ts'

export function fetchMissingTools(...names: readonly string[]): void {
  if (names.every((name) => findTool(name) !== undefined)) return
  const script = join(import.meta.dirname, '../interop/fetch-tools.ts')
  execFileSync(process.execPath, [script], { stdio: 'inherit' })
}
