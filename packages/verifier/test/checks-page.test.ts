import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { checksPage } from '../scripts/checks-page.ts'

test('docs/reference/checks.md lists every code as the tables have it', () => {
  const page = new URL('../../../docs/reference/checks.md', import.meta.url)
  // The formatter pads table cells.
  const plain = (text: string) => text.replaceAll(/ *\| */g, '|').replaceAll(/-{3,}/g, '---')
  assert.equal(plain(readFileSync(page, 'utf8')), plain(checksPage()))
})
