import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { commandsPage, errorsPage } from './reference-pages.ts'

const folder = new URL('../../../docs/reference/', import.meta.url)

test('docs/reference/errors.md is what the catalogue says', () => {
  assert.equal(
    readFileSync(new URL('errors.md', folder), 'utf8'),
    errorsPage(),
    'run: npm run reference -w packages/cli',
  )
})

test('docs/reference/cli.md is what the command table says', async () => {
  assert.equal(
    readFileSync(new URL('cli.md', folder), 'utf8'),
    await commandsPage(),
    'run: npm run reference -w packages/cli',
  )
})
