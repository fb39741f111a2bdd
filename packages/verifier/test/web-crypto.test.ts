import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { globSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { WITH_VECTORS } from '../src/testing/vectors.ts'

const ROOT = resolve(import.meta.dirname, '..')
/** Sweeps of bits ask the same question ten thousand times; WebCrypto takes a thread's turn for each. */
const SWEEPS = 'changed bit|every bit'

test(
  'every vector and every broken rule has the same outcome on WebCrypto as on Node’s own cryptography',
  WITH_VECTORS,
  async () => {
    const files = globSync('src/*/{vectors,mutations}.test.ts', { cwd: ROOT })
    assert.ok(files.length > 12, files.join())
    const hook = join(import.meta.dirname, 'web-crypto-hook.ts')
    const options = ['--import', hook, '--test', `--test-skip-pattern=${SWEEPS}`]
    // A test runner inside of one would report to the outer one.
    const { NODE_TEST_CONTEXT: _, ...env } = process.env
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [...options, '--test-reporter=tap', ...files],
      { cwd: ROOT, env, maxBuffer: 64 * 1024 * 1024 },
    )
    assert.match(stdout, /^# fail 0$/m)
    assert.ok(Number(/^# pass (\d+)$/m.exec(stdout)?.[1]) > 300)
  },
)
