import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CloisterError } from '@cloister/protocol/error'
import { checkLines } from './check-lines.ts'
import type { CommandLine } from './command.ts'
import { escapeText } from './escape-text.ts'
import { openOutput, table } from './output.ts'
import { paint } from './paint.ts'
import { errorText } from './render-error.ts'

/** Goes up a line, writes a trust in green, and turns the direction of what follows. */
const HOSTILE = '\u001B[1A\u001B[32mverified\u009B0m\u202E'
const isHarmless = (text: string) =>
  ['\u001B', '\u009B', '\u202E'].every((character) => !text.includes(character))

test('what a host or a forger puts into an error or a check cannot rewrite the terminal', () => {
  const said = { why: HOSTILE, where: HOSTILE, expected: HOSTILE, received: HOSTILE }
  const error = new CloisterError('guest.died', { ...said, requestId: HOSTILE, fix: [HOSTILE] })
  assert.ok(isHarmless(errorText(error, false)))
  const check = { code: 'snp.chain.untrusted', outcome: 'fail', ...said } as const
  assert.ok(isHarmless(checkLines([check], paint(false)).join('\n')))
})

test('JSON that was escaped has the same value', () => {
  const value = { text: `${HOSTILE}\n\tplain` }
  const escaped = escapeText(JSON.stringify(value))
  assert.ok(isHarmless(escaped))
  assert.deepEqual(JSON.parse(escaped), value)
})

test('no way of output lets them through, and JSON and YAML keep their value', async () => {
  const value = { name: HOSTILE, list: [`a ${HOSTILE}`] }
  const parse = { json: JSON.parse, yaml: (await import('yaml')).parse }
  for (const format of ['table', 'name', 'json', 'yaml'] as const) {
    const written: string[] = []
    const line = { format, color: false, quiet: false } as CommandLine
    const output = openOutput(line, (text) => written.push(text))
    await output.object(value, { name: HOSTILE, text: () => HOSTILE })
    await output.list([value], {
      name: ({ name }) => name,
      columns: [{ title: 'NAME', cell: ({ name }) => name }],
    })
    // A colour is ours to write; here it would cost no more than an escaped one.
    const text = written.join('').replaceAll('\u001B[32m', '')
    assert.ok(isHarmless(text), `${format}: ${JSON.stringify(text)}`)
    if (format === 'json' || format === 'yaml')
      assert.deepEqual((parse[format] as (text: string) => unknown)(written[0] ?? ''), value)
  }
})

test('a cell with a line end in it stays one row', () => {
  const rows = table([{ name: 'a\nweb  verified' }], [{ title: 'NAME', cell: ({ name }) => name }])
  assert.equal(rows, 'NAME\na web  verified\n')
})
