import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { CloisterError } from '@cloister/protocol/error'
import { parseCommandLine } from '../command-line.ts'
import { readRunPlan, RUN_OPTIONS } from './run-plan.ts'

const plan = (...words: string[]) =>
  readRunPlan(
    parseCommandLine(
      { name: 'run', words: 1 },
      { usage: '', options: RUN_OPTIONS, positionals: [1, 1], run: async () => 0 },
      words,
    ),
  )

describe('readRunPlan()', () => {
  test('reads ports, sizes, secrets and words after --', () => {
    const read = plan(
      'oci:/d',
      '-p',
      '8080:80',
      '-p',
      '0.0.0.0:1:2',
      '-m',
      '512M',
      '--disk',
      '2G',
      '--secret',
      'a/b/c:/etc/x',
      '--secret',
      'db',
      '--',
      '-v',
    )
    assert.deepEqual(read.ports, [
      { address: '127.0.0.1', host: 8080, guest: 80 },
      { address: '0.0.0.0', host: 1, guest: 2 },
    ])
    assert.equal(read.memoryMiB, 512)
    assert.equal(read.scratchMiB, 2048)
    assert.deepEqual(read.secrets, [
      { resource: 'a/b/c', file: '/etc/x' },
      { resource: 'default/secret/db', file: '/run/secrets/db' },
    ])
    assert.deepEqual(read.args, ['-v'])
  })

  test('refuses what it cannot read, and never repeats the value of a variable', () => {
    const words = [
      ['-p', '80'],
      ['-p', '0:1'],
      ['-p', '1:70000'],
      ['-m', 'much'],
      ['--cpus', '0'],
      ['--tee', 'magic'],
      ['--secret', '../x'],
    ]
    for (const pair of words)
      assert.throws(
        () => plan('i', ...pair),
        (error) => error instanceof CloisterError && error.code === 'cli.usage',
        pair.join(' '),
      )
    assert.throws(
      () => plan('i', '-e', '1BAD=hunter2'),
      (error) => error instanceof CloisterError && !JSON.stringify(error).includes('hunter2'),
    )
  })
})
