import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromJson, toJson } from '../json.ts'
import { encodeYaml } from './yaml-encode.ts'
import { parseYaml, YamlError } from './yaml.ts'

const DOCUMENTS: readonly [string, unknown][] = [
  ['', null],
  ['a: 1\nb: [x, "y z", {c: true}]', { a: 1, b: ['x', 'y z', { c: true }] }],
  ['- a\n- - b\n  - c\n-\n  d: 1', ['a', ['b', 'c'], { d: 1 }]],
  ['k:\n- 1\n- 2\nl: 3', { k: [1, 2], l: 3 }],
  ['a: |\n  one\n   two\n\n  three\nb: >-\n  x\n  y\n', { a: 'one\n two\n\nthree\n', b: 'x y' }],
  ['a: |+\n  x\n\nb: 1', { a: 'x\n\n', b: 1 }],
  ['a: one\n  two\nb: "c\\n\\u0041"', { a: 'one two', b: 'c\nA' }],
  ["a: 'it''s' # comment\n# another\nb: x#y", { a: "it's", b: 'x#y' }],
  ['x: &a {n: 1}\ny: *a\nz:\n  <<: *a\n  m: 2', { x: { n: 1 }, y: { n: 1 }, z: { n: 1, m: 2 } }],
  [
    '[0x1F, 0o17, 1.5e3, .5, -3, ~, null, True, yes]',
    [31, 15, 1500, 0.5, -3, null, null, true, 'yes'],
  ],
  ['? a\n: b\n? c', { a: 'b', c: null }],
  ['---\na: 1\n...\n', { a: 1 }],
  ['a: !!str 5\nb: http://x:80/y', { a: '5', b: 'http://x:80/y' }],
  ['{"a":1,"b":[]}', { a: 1, b: [] }],
]
for (const [text, wanted] of DOCUMENTS)
  test(`parseYaml() reads ${JSON.stringify(text)}`, () =>
    assert.deepEqual(toJson(parseYaml(text)), wanted))

test('parseYaml() refuses what is no YAML', () => {
  for (const text of [
    'a: [1',
    'a: "x',
    '*b',
    'a: 1\na: 2',
    'a: b: c',
    '- a\n b: 1',
    '@x',
    '[1]]',
    '['.repeat(500),
  ])
    assert.throws(() => parseYaml(text), YamlError, text)
})

test('aliases are counted node by node', () => {
  const bomb = `a: &a [x,x,x,x,x,x,x,x,x]\n${Array.from({ length: 8 }, (_, n) => `${'bcdefghij'[n]}: &${'bcdefghij'[n]} [${Array(9).fill(`*${'abcdefghij'[n]}`).join(',')}]`).join('\n')}`
  let nodes = 0
  assert.throws(
    () =>
      parseYaml(bomb, (count) => {
        nodes += count
        if (nodes > 100_000) throw new RangeError('limit')
      }),
    RangeError,
  )
})

test('encodeYaml() gives text that reads back', () => {
  const values = [
    {
      b: [1, { c: 'x' }, []],
      a: {},
      '1': 'true',
      s: 'a\nb\n',
      t: '- x',
      u: '',
      v: 'a: b',
      w: ' lead',
      n: null,
      y: 'yes',
    },
    [[1, [2]], 'plain'],
    'x',
    [{ a: [{ b: 1 }] }],
  ]
  for (const value of values)
    assert.deepEqual(toJson(parseYaml(encodeYaml(fromJson(value)))), value)
})
