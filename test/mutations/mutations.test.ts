/** Quick: that every mutation still says what stands in its file, and names a test that is there. `npm run mutations` runs them. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { test } from 'node:test'
import { mutated, REPOSITORY } from './mutation.ts'
import { MUTATIONS } from './mutations.ts'

const read = (file: string) => readFileSync(fileURLToPath(new URL(file, REPOSITORY)), 'utf8')

test('every mutation finds its place once, and its test', () => {
  for (const { edits, test: file, fails } of MUTATIONS) {
    for (const edit of edits) mutated(read(edit.file), edit)
    const source = read(file)
    assert.ok(source.includes(`'${fails}'`) || source.includes(`"${fails}"`), `${file}: ${fails}`)
  }
})

test('names of mutations are their own', () => {
  assert.equal(new Set(MUTATIONS.map(({ name }) => name)).size, MUTATIONS.length)
})
