import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import type { RegoVersion } from '../ast.ts'
import { parseModule } from '../parse/module-parser.ts'
import { format } from './format.ts'

/** The tree without places. */
function tree(source: string, version: RegoVersion): string {
  const skip = new Set(['loc', 'packageLoc', 'source', 'raw', 'ownLine'])
  return JSON.stringify(parseModule('m', source, version), (key, value: unknown) =>
    skip.has(key) ? undefined : typeof value === 'bigint' ? `${value}n` : value,
  )
}

function roundTrip(source: string, version: RegoVersion): void {
  const formatted = format('m', source, version)
  assert.equal(tree(formatted, version), tree(source, version))
  assert.equal(format('m', formatted, version), formatted)
}

const SOURCE = `package a.b["c d"] # package
import data.x as y
# about p
p   :=   {"a":1,"b":[1,2 , 3]}
# about q
q contains  (x)  if { some x in [ (1|2) ] # trailing
  # inside

  not x in {1,2}
  every k, v in y { k==v; (1+2)*3 > 4-(2-1) } }
r := {
  # first
  "k": 1, # one
  "l": {
    "m": \`raw\`,
  },
}
f(a, [b, _]) := a.b["c-d"][b] if { a with input.x as 1 } else := [x | x := a[_]; x.default] if b
default d := set()
s if (1, 2 in [3])
t := [(a | b), {(c | d) | c := {1}}, {k: (v & w) | some k, v in y; w := v}]
u := $"a {1 + 2} \\{"
# the end`

test('format() gives the canonical layout', () => {
  assert.equal(
    format('m', 'package a\nx   if{a;b}\ny:=[1,2]\nz  :=  3'),
    'package a\n\nx if {\n\ta\n\tb\n}\n\ny := [1, 2]\nz := 3\n',
  )
})

test('parse, format, parse gives the same tree, and every comment stays', () => {
  roundTrip(SOURCE, 'v1')
  const comments = (text: string) =>
    parseModule('m', text).comments.map((comment) => comment.text.trim())
  assert.deepEqual(comments(format('m', SOURCE)), comments(SOURCE))
})

test('v0 keeps its bodies', () => {
  roundTrip(
    'package a\np[x] { x = 1 } { x = 2 }\nq = 1 { false } else = 2 { true }\nr.s { true }',
    'v0',
  )
})

const vectors =
  process.env['CLOISTER_VECTORS'] ?? resolve(import.meta.dirname, '../../../../../shared/vectors')
const kata = join(vectors, 'rego/kata')

test(
  'generated agent policies round-trip',
  { skip: existsSync(kata) ? false : `no vectors at ${kata}` },
  () => {
    for (const entry of readdirSync(kata, { recursive: true, encoding: 'utf8' }))
      if (entry.endsWith('.rego')) roundTrip(readFileSync(join(kata, entry), 'utf8'), 'v0')
  },
)
