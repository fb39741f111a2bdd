import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { CloisterError } from '@cloister/protocol/error'
import { summaries } from './command-table.ts'
import { helpText } from './help.ts'
import { visibleWidth, wrapText } from './wrap-text.ts'

/** A terminal as small as they come. */
const COLUMNS = 80
const ROWS = 24

describe('helpText()', () => {
  test('fits one small screen when nothing is asked for, with every first word', async () => {
    const text = wrapText(await helpText([]), COLUMNS)
    assert.ok(text.trimEnd().split('\n').length < ROWS, text)
    const words = new Set(text.split(/[\s,]+/))
    for (const { name } of summaries()) assert.ok(words.has(name.split(' ')[0] ?? ''), name)
  })

  test('lists every command for `all`, and those of one word for that word', async () => {
    const all = await helpText(['all'])
    for (const { name } of summaries()) assert.match(all, new RegExp(`^ {2}${name} `, 'm'))
    const vm = await helpText(['vm'])
    assert.match(vm, /^ {2}vm create /m)
    assert.doesNotMatch(vm, /^ {2}run /m)
  })

  test('shows usage and options of each command, none wider than a small screen but for what cannot be broken', async () => {
    for (const { name } of summaries()) {
      const text = wrapText(await helpText(name.split(' ')), COLUMNS)
      assert.ok(text.startsWith(`cloister ${name}`), name)
      for (const line of text.split('\n'))
        assert.ok(visibleWidth(line) <= COLUMNS || !/\S \S/.test(line.trim()), line)
    }
  })

  test('refuses what is no command', async () => {
    await assert.rejects(
      helpText(['nonsense']),
      (error) => error instanceof CloisterError && error.code === 'cli.unknown-command',
    )
  })
})
