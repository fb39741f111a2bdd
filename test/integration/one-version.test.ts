/** One version for all packages: what the programs compare with each other, and what a release lifts. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { PRODUCT_VERSION } from '@cloister/protocol/product-version'

const ROOT = join(import.meta.dirname, '../..')

interface Manifest {
  readonly version: string
  readonly dependencies?: Readonly<Record<string, string>>
}

test('all packages have the version of the repository, and depend on each other at it', () => {
  const folders = ['.', ...readdirSync(join(ROOT, 'packages')).map((name) => `packages/${name}`)]
  for (const folder of folders) {
    const text = readFileSync(join(ROOT, folder, 'package.json'), 'utf8')
    const { version, dependencies = {} } = JSON.parse(text) as Manifest
    assert.equal(version, PRODUCT_VERSION, folder)
    for (const [name, wanted] of Object.entries(dependencies))
      if (name.startsWith('@cloister/')) assert.equal(wanted, PRODUCT_VERSION, `${folder}: ${name}`)
  }
})
