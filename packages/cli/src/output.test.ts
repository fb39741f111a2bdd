import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { fittedTable } from './output.ts'

const columns = [
  { title: 'NAME', cell: (row: { name: string }) => row.name },
  { title: 'KIND', spare: true as const, cell: () => 'container' },
  { title: 'TRUST', cell: () => 'simulated' },
  { title: 'AGE', spare: true as const, cell: () => '3m' },
]

describe('fittedTable()', () => {
  test('shows all columns where there is room or no terminal', () => {
    for (const width of [undefined, 200])
      assert.deepEqual(fittedTable([{ name: 'demo' }], columns, width), {
        text: 'NAME  KIND       TRUST      AGE\ndemo  container  simulated  3m\n',
        hidden: [],
      })
  })

  test('leaves spare columns out from the right, and no more than it takes', () => {
    assert.deepEqual(fittedTable([{ name: 'demo' }], columns, 28).hidden, ['AGE'])
    assert.deepEqual(fittedTable([{ name: 'demo' }], columns, 20), {
      text: 'NAME  TRUST\ndemo  simulated\n',
      hidden: ['KIND', 'AGE'],
    })
  })

  test('keeps the others however narrow it is', () => {
    assert.match(fittedTable([{ name: 'demo' }], columns, 5).text, /simulated/)
  })
})
