import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseReference } from './reference.ts'
import { credentialsFor } from './registry-credentials.ts'

test('the most specific entry for the image is found, and none for another host', () => {
  const auth = (text: string) => ({ auth: Buffer.from(text).toString('base64') })
  const config = JSON.stringify({
    auths: {
      'reg.example:5000': auth('host:1'),
      'reg.example:5000/team': auth('team:2\n'),
      'reg.example:5000/team/app': auth('app:with:colon'),
      'https://index.docker.io/v1/': auth('hub:4'),
    },
  })
  const found = (image: string) => credentialsFor(config, parseReference(image))
  assert.deepEqual(found('reg.example:5000/team/app:v1'), { user: 'app', password: 'with:colon' })
  assert.deepEqual(found('reg.example:5000/team/other'), { user: 'team', password: '2' })
  assert.deepEqual(found('reg.example:5000/teammate/app'), { user: 'host', password: '1' })
  assert.deepEqual(found('nginx'), { user: 'hub', password: '4' })
  for (const other of [
    'reg.example/team/app',
    'evil.reg.example:5000/team/app',
    'reg.example.evil:5000/a',
  ])
    assert.equal(found(other), undefined, other)
})

test('what is no configuration is refused without quoting it', () => {
  const reference = parseReference('reg.example/app')
  for (const text of [
    'secret',
    '{"auths":[]}',
    '{"auths":{"reg.example":{"auth":"bm9jb2xvbg=="}}}',
  ])
    assert.throws(
      () => credentialsFor(text, reference),
      (error: Error & { code?: string }) => {
        assert.equal(error.code, 'request.malformed')
        assert.equal(JSON.stringify(error).includes('secret'), false)
        return true
      },
    )
  assert.equal(credentialsFor('{}', reference), undefined)
})
