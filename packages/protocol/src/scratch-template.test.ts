import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeScratchTemplate, readScratchTemplate } from './scratch-template.ts'

const RUNS = [
  { first: 0, count: 2 },
  { first: 40, count: 1 },
]
const TEMPLATE = { blocks: 100, runs: RUNS }
const CONTENTS = Buffer.alloc(3 * 4096, 'x')

test('a template is read as it was made, and its blocks follow its head', () => {
  const file = encodeScratchTemplate(TEMPLATE, CONTENTS)
  assert.deepEqual(readScratchTemplate(file), TEMPLATE)
  assert.equal(Buffer.from(file).toString('latin1', 0, 14), '100 0 2 40 1\n\0')
  assert.deepEqual(Buffer.from(file.subarray(4096)), CONTENTS)
})

test('a file that is none is refused, whole numbers or blocks missing', () => {
  const whole = Buffer.from(encodeScratchTemplate(TEMPLATE, CONTENTS))
  const texts = ['', '100\n', '100 0\n', '100 0 -3\n', '100 0 3 \n', '100 0 2 40 1', 'x 0 3\n']
  for (const text of texts) {
    const file = Buffer.concat([Buffer.alloc(4096), CONTENTS])
    file.write(text)
    assert.throws(() => readScratchTemplate(file), RangeError, text)
  }
  for (const file of [whole.subarray(0, -1), whole.subarray(4096), Buffer.alloc(0)])
    assert.throws(() => readScratchTemplate(file), RangeError)
  assert.throws(() => readScratchTemplate(Buffer.concat([whole, CONTENTS])), RangeError)
})

test('more runs than the first block can name are refused', () => {
  const runs = Array.from({ length: 2000 }, (_, first) => ({ first: 2 * first, count: 1 }))
  assert.throws(() => encodeScratchTemplate({ blocks: 9999, runs }, CONTENTS), RangeError)
})
