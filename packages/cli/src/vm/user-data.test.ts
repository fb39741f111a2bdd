import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parse } from 'yaml'
import { composeUserData } from './user-data.ts'

const KEY = {
  privateKey: '-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n',
  publicKey: 'ssh-ed25519 AAAAC3 box',
}
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('utf8')

/** Content type and content of each part. */
function partsOf(message: string): [string, string][] {
  const boundary = /boundary="([^"]+)"/.exec(message)?.[1] ?? ''
  return message
    .split(`--${boundary}`)
    .slice(1, -1)
    .map((part) => {
      const [head = '', ...body] = part.trim().split('\n\n')
      const type = /Content-Type: ([^;]+)/.exec(head)?.[1] ?? ''
      return [type, Buffer.from(body.join(''), 'base64').toString('utf8')]
    })
}

test('composeUserData() alone is cloud-config with the host key', () => {
  const { userData, hasHostKey } = composeUserData(undefined, KEY)
  assert.ok(text(userData).startsWith('#cloud-config\n'))
  assert.deepEqual(parse(text(userData)), {
    ssh_keys: { ed25519_private: KEY.privateKey, ed25519_public: KEY.publicKey },
  })
  assert.ok(hasHostKey)
})

test('composeUserData() puts the host key beside what the owner gives, which stays as it is', () => {
  for (const [given, type] of [
    ['#cloud-config\npackages: [nginx]\n', 'text/cloud-config'],
    ['#!/bin/sh\necho --cloister-user-data--\n', 'text/x-shellscript'],
    ['#include\nhttps://a/b\n', 'text/x-include-url'],
  ] as const) {
    const { userData, hasHostKey } = composeUserData(Buffer.from(given), KEY)
    const parts = partsOf(text(userData))
    assert.deepEqual(parts[1], [type, given])
    assert.match(parts[0]?.[1] ?? '', /ed25519_private/)
    assert.ok(hasHostKey)
  }
})

test('composeUserData() leaves alone what has host keys of its own, or is of another kind', () => {
  for (const given of [
    '#cloud-config\nssh_keys:\n  rsa_private: x\n',
    'Content-Type: multipart/mixed; boundary="x"\n\n',
    '\u001f\u008b',
  ]) {
    const { userData, hasHostKey } = composeUserData(Buffer.from(given), KEY)
    assert.equal(text(userData), given)
    assert.equal(hasHostKey, false)
  }
})
