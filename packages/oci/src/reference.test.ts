import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatReference, parseImageSource, parseReference } from './reference.ts'

const DIGEST = `sha256:${'a'.repeat(64)}`

test('parseReference fills in what Docker fills in', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['nginx', 'docker.io/library/nginx:latest'],
    ['team/app:1.2', 'docker.io/team/app:1.2'],
    ['index.docker.io/nginx', 'docker.io/library/nginx:latest'],
    ['localhost/app', 'localhost/app:latest'],
    ['localhost:5000/a/b/c:v1', 'localhost:5000/a/b/c:v1'],
    [`registry.example/app@${DIGEST}`, `registry.example/app@${DIGEST}`],
    [`registry.example/app:v1@${DIGEST}`, `registry.example/app:v1@${DIGEST}`],
    ['[::1]:5000/app:v1', '[::1]:5000/app:v1'],
  ]
  for (const [text, full] of cases) {
    assert.equal(formatReference(parseReference(text)), full)
    assert.deepEqual(parseReference(full), parseReference(text))
  }
})

test('parseReference refuses what is none', () => {
  const bad = [
    '',
    'UPPER',
    'a//b',
    '/a',
    'a/',
    'a:',
    'a:b:c',
    'a@sha256:12',
    `a@md5:${'a'.repeat(32)}`,
  ]
  const hostile = ['../../etc', 'host/a/../b', 'a b', 'a\n', 'host:port/a', `a/${'b'.repeat(256)}`]
  for (const text of [...bad, ...hostile])
    assert.throws(() => parseReference(text), { code: 'image.reference-malformed' }, text)
})

test('parseImageSource knows the local transports', () => {
  assert.deepEqual(parseImageSource('oci:/tmp/layout:v1'), {
    kind: 'oci',
    directory: '/tmp/layout',
    tag: 'v1',
  })
  assert.deepEqual(parseImageSource('oci:dir'), { kind: 'oci', directory: 'dir' })
  assert.deepEqual(parseImageSource('oci-archive:a/b.tar'), {
    kind: 'oci-archive',
    file: 'a/b.tar',
  })
  assert.equal(parseImageSource('oci/app').kind, 'registry')
  assert.throws(() => parseImageSource('oci:dir:!'), { code: 'image.reference-malformed' })
})
