/** The package runs in browsers: nothing but the platform file and tests may import Node's modules. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { compile } from './policy.ts'
import { platformCrypto } from './platform/none.ts'

test('only platform/node.ts imports Node', () => {
  const files = readdirSync(import.meta.dirname, { recursive: true, encoding: 'utf8' })
  const importing = files
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'))
    .filter((file) =>
      /from 'node:|\bBuffer\b|\bprocess\.[a-z]/.test(
        readFileSync(join(import.meta.dirname, file), 'utf8'),
      ),
    )
  assert.deepEqual(importing, [join('platform', 'node.ts')])
})

test('without a provider, cryptographic built-ins refuse', () => {
  assert.equal(platformCrypto, undefined)
  const broken = {
    hash: () => {
      throw new Error('none')
    },
  } as unknown as NonNullable<typeof platformCrypto>
  const policy = compile({ modules: [], crypto: broken })
  assert.throws(() => policy.decide('crypto.sha256("a")'))
})
