import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isCode } from '@cloister/protocol/testing'
import { resolveUser } from './user.ts'

const FILES = {
  passwd: [
    'root:x:0:0:root:/root:/bin/sh',
    'www:x:33:34:www:/var/www:/bin/sh',
    '7:x:1007:1007::/home/seven:/bin/sh',
    'broken:x:nan:0::/:/bin/sh',
    'short:x:5',
    '',
  ].join('\n'),
  group: 'root:x:0:\nwww:x:34:\nssl:x:110:www,other\ndaemon:x:1:www\n',
}

test('resolveUser() takes names, numbers and groups as images write them', () => {
  const root = { uid: 0, gid: 0, additionalGids: [], home: '/root' }
  const www = { uid: 33, gid: 34, additionalGids: [1, 110], home: '/var/www' }
  const cases: Record<string, object> = {
    '': { ...root, name: 'root' },
    root: { ...root, name: 'root' },
    www: { ...www, name: 'www' },
    '33': { ...www, name: 'www' },
    'www:ssl': { ...www, name: 'www', gid: 110, additionalGids: [] },
    '33:0': { ...www, name: 'www', gid: 0, additionalGids: [] },
    '4711': { uid: 4711, gid: 0, additionalGids: [], home: '/', name: undefined },
    '4711:12': { uid: 4711, gid: 12, additionalGids: [], home: '/', name: undefined },
    '7': { uid: 7, gid: 0, additionalGids: [], home: '/', name: undefined },
  }
  for (const [user, expected] of Object.entries(cases))
    assert.deepEqual(resolveUser(user, FILES), expected, user)
})

test('resolveUser() refuses what the image does not know', () => {
  for (const user of ['nobody', 'www:none', 'broken', 'short', '4294967295', '-1', 'a:b:c'])
    assert.throws(() => resolveUser(user, FILES), isCode('agent.user-unknown'), user)
})

test('resolveUser() works for an image without files', () => {
  const empty = { passwd: '', group: '' }
  assert.equal(resolveUser('', empty).uid, 0)
  assert.throws(() => resolveUser('www', empty), isCode('agent.user-unknown'))
})
