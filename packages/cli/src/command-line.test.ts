import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { CloisterError } from '@cloister/protocol/error'
import { parseCommandLine } from './command-line.ts'
import { findCommand } from './command-table.ts'
import type { Command } from './command.ts'

const COMMAND: Command = {
  usage: 'run IMAGE [options]',
  options: {
    env: { type: 'string', short: 'e', multiple: true, help: '' },
    detach: { type: 'boolean', help: '' },
  },
  positionals: [1, 1],
  run: async () => 0,
}
const parse = (...words: string[]) => parseCommandLine({ name: 'run', words: 1 }, COMMAND, words)
const hasCode = (code: string) => (error: unknown) =>
  error instanceof CloisterError && error.code === code

describe('parseCommandLine()', () => {
  test('keeps words after -- apart, also when they look like options', () => {
    const line = parse('demo', '-e', 'A=1', '-e', 'B=2', '--', '--detach', '-x')
    assert.deepEqual(line.positionals, ['demo'])
    assert.deepEqual(line.options['env'], ['A=1', 'B=2'])
    assert.deepEqual(line.rest, ['--detach', '-x'])
    assert.equal(line.options['detach'], undefined)
  })

  test('refuses unknown options, missing and surplus arguments, formats and time-outs', () => {
    for (const words of [
      ['demo', '--nope'],
      [],
      ['a', 'b'],
      ['a', '-o', 'xml'],
      ['a', '--timeout', '0'],
      ['a', '--timeout', 'soon'],
    ])
      assert.throws(() => parse(...words), hasCode('cli.usage'), words.join(' '))
  })

  test('names the argument that is missing and the option that was meant', () => {
    const whyOf = (...words: string[]) => {
      try {
        parse(...words)
      } catch (error) {
        if (error instanceof CloisterError) return error.details.why
      }
      return undefined
    }
    assert.equal(whyOf(), 'IMAGE is missing')
    assert.equal(whyOf('demo', '--detatch'), "Unknown option '--detatch'; did you mean --detach?")
  })

  test('takes --help without arguments', () => {
    assert.equal(parse('--help').options['help'], true)
  })
})

describe('findCommand()', () => {
  test('prefers two words', () => {
    assert.deepEqual(findCommand(['secret', 'put', 'x']), { name: 'secret put', words: 2 })
    assert.deepEqual(findCommand(['ps', '-a']), { name: 'ps', words: 1 })
  })

  test('names close commands for a mistyped one', () => {
    assert.throws(
      () => findCommand(['quickstrat']),
      (error) =>
        error instanceof CloisterError &&
        error.code === 'cli.unknown-command' &&
        error.details.fix?.[0] === 'cloister quickstart',
    )
  })

  test('suggests what was meant within a group, and names its help', () => {
    const fixOf = (...words: string[]) => {
      try {
        findCommand(words)
      } catch (error) {
        if (error instanceof CloisterError) return error.details.fix
      }
      return undefined
    }
    assert.deepEqual(fixOf('image', 'sing'), ['cloister image sign', 'cloister help image'])
    assert.deepEqual(fixOf('vm', 'disk'), [
      'cloister vm disk rekey',
      'cloister vm disk recovery-key',
      'cloister help vm',
    ])
    assert.equal(fixOf('vmcreate')?.[0], 'cloister vm create')
    assert.ok(fixOf('snapshot')?.includes('cloister vm snapshot'))
    assert.equal(fixOf('rnu')?.[0], 'cloister run')
    assert.deepEqual(fixOf('xyzzy'), ['cloister help'])
  })

  test('is not fooled by words that every object has', () => {
    for (const word of ['constructor', '__proto__', 'toString'])
      assert.throws(() => findCommand([word]), hasCode('cli.unknown-command'))
  })
})
