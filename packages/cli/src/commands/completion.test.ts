import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { describe, test, type TestContext } from 'node:test'
import { command } from './completion.ts'
import { COMMANDS } from '../command-table.ts'
import { openOutput } from '../output.ts'
import type { Invocation } from '../command.ts'

async function script(shell: string, t: TestContext): Promise<string> {
  const written: string[] = []
  t.mock.method(process.stdout, 'write', (text: string) => written.push(text))
  const line = {
    name: 'completion',
    positionals: [shell],
    rest: [],
    options: {},
    format: 'table',
    quiet: false,
    color: false,
    verbose: false,
    timeoutMs: undefined,
    directories: {} as Invocation['directories'],
  } as const
  await command.run({
    ...line,
    output: openOutput(line),
    signal: new AbortController().signal,
    commands: COMMANDS,
  })
  t.mock.restoreAll()
  return written.join('')
}

/** What bash would offer after these words. */
function offered(source: string, words: readonly string[]): string[] {
  const ask = `${source}\nCOMP_WORDS=(cloister ${words.map((word) => `'${word}'`).join(' ')})\nCOMP_CWORD=${words.length}\n_cloister\nprintf '%s\\n' "\${COMPREPLY[@]}"`
  const { stdout, status, stderr } = spawnSync('bash', ['--norc', '-c', ask], { encoding: 'utf8' })
  assert.equal(status, 0, stderr)
  return stdout.split('\n').filter((word) => word !== '')
}

describe('completion', () => {
  test('offers commands of one, two and three words in bash', async (t) => {
    const source = await script('bash', t)
    assert.deepEqual(offered(source, ['quick']), ['quickstart'])
    assert.deepEqual(offered(source, ['secret', '']), ['put', 'ls', 'rm'])
    assert.deepEqual(offered(source, ['vm', 'disk', 'rek']), ['rekey'])
    assert.deepEqual(offered(source, ['help', 'policy', 'ev']), ['eval'])
  })

  test('offers the options of the command in bash, also after arguments', async (t) => {
    const source = await script('bash', t)
    assert.deepEqual(offered(source, ['run', 'oci:dir', '--sig']), ['--signed-by'])
    assert.deepEqual(offered(source, ['ps', '--out']), ['--output'])
  })

  test('leaves files to the shell', async (t) => {
    assert.deepEqual(offered(await script('bash', t), ['run', 'oci']), [])
  })

  test('knows fish and refuses other shells', async (t) => {
    assert.match(await script('fish', t), /-a rekey/)
    await assert.rejects(script('tcsh', t), { code: 'cli.usage' })
  })
})
