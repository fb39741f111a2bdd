/** Packages import only what they depend on, by its exports: the arrows of the architecture point one way. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { test } from 'node:test'

const PACKAGES = join(import.meta.dirname, '../../packages')
const SCOPE = '@cloister/'

/** What stands in one row may import from the rows above it only. */
const ROWS = [
  ['verifier', 'rego', 'oci', 'protocol'],
  ['image', 'launcher', 'agent', 'broker'],
  ['hostd', 'shim'],
  ['cli', 'console'],
] as const
/** The formats and errors that all parts share. */
const BELOW_ALL = 'protocol'

const names = readdirSync(PACKAGES)

for (const name of names)
  test(`${name} imports only what its package.json names, and from outside by exports`, () => {
    const { dependencies = {} } = JSON.parse(
      readFileSync(join(PACKAGES, name, 'package.json'), 'utf8'),
    ) as { dependencies?: Record<string, string> }
    const wrong: string[] = []
    for (const { file, specifier } of importsOf(name)) {
      if (specifier.startsWith('.')) {
        const target = relative(join(PACKAGES, name), join(dirname(file), specifier))
        if (target.startsWith('..')) wrong.push(`${file}: ${specifier}`)
      } else if (specifier.startsWith(SCOPE)) {
        const other = specifier.split('/').slice(0, 2).join('/')
        if (other !== SCOPE + name && dependencies[other] === undefined)
          wrong.push(`${file}: ${specifier}`)
      }
    }
    assert.deepEqual(wrong, [])
  })

test('dependencies point one way', () => {
  for (const name of names) {
    const { dependencies = {} } = JSON.parse(
      readFileSync(join(PACKAGES, name, 'package.json'), 'utf8'),
    ) as { dependencies?: Record<string, string> }
    for (const other of Object.keys(dependencies).filter((one) => one.startsWith(SCOPE))) {
      const target = other.slice(SCOPE.length)
      if (target === BELOW_ALL) assert.equal(name === 'verifier' || name === 'rego', false, name)
      else assert.ok(rowOf(target) < rowOf(name), `${name} depends on ${target}`)
    }
  }
})

function rowOf(name: string): number {
  const row = ROWS.findIndex((names) => names.some((known) => known === name))
  assert.ok(row >= 0, `${name} has no place yet`)
  return row
}

function importsOf(name: string): { file: string; specifier: string }[] {
  return readdirSync(join(PACKAGES, name), { recursive: true, encoding: 'utf8' })
    .filter((path) => /^(?:src|test|scripts|fuzz|bench)\/.*\.ts$/.test(path))
    .flatMap((path) => {
      const file = join(PACKAGES, name, path)
      const found = readFileSync(file, 'utf8').matchAll(/(?:from|import\() ?'(?<to>[^']+)'/g)
      return Array.from(found, ({ groups }) => ({ file, specifier: groups?.['to'] ?? '' }))
    })
}
