/** The conformance vectors, where they are: only failures that `dev-docs/rego-conformance.md` explains. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { runAll } from '../scripts/conformance-all.ts'

const root = resolve(import.meta.dirname, '../../..')
const folder = join(process.env['CLOISTER_VECTORS'] ?? resolve(root, '../shared/vectors'), 'rego')

for (const [how, options] of [
  ['', {}],
  [', explained', { explain: { redact: ['input.OCI.Process.Env.*'] } }],
] as const)
  test(
    `conformance vectors${how}`,
    { skip: existsSync(folder) ? false : `no vectors at ${folder}` },
    () => {
      const explained = readFileSync(join(root, 'dev-docs/rego-conformance.md'), 'utf8')
      const failures = runAll(folder, options).filter(({ failure }) => failure !== undefined)
      for (const { name, failure } of failures)
        assert.ok(explained.includes(`\`${name}\``), `${name}: ${failure}`)
    },
  )
