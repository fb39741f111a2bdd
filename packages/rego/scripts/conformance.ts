/**
 * `npm run conformance`: runs every case under `$CLOISTER_VECTORS/rego` (default `../shared/vectors` beside the
 * repository), prints each failure and, last, `rego: P passed, F failed`. Ends with 1 when more than 1 % fail.
 */
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { runAll } from './conformance-all.ts'

const vectors =
  process.env['CLOISTER_VECTORS'] ?? resolve(import.meta.dirname, '../../../../shared/vectors')
const folder = join(vectors, 'rego')
if (existsSync(folder)) report()
else console.log(`rego: no vectors at ${folder}: nothing was run`)

function report(): void {
  const outcomes = runAll(folder)
  const failures = outcomes.filter(({ failure }) => failure !== undefined)
  for (const { name, failure } of failures) console.log(`FAIL ${name}: ${failure}`)
  console.log(`rego: ${outcomes.length - failures.length} passed, ${failures.length} failed`)
  process.exitCode = failures.length * 100 > outcomes.length ? 1 : 0
}
