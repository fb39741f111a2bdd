import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isCode } from '@cloister/protocol/testing'
import { cloudConfig } from './cloud-config.ts'

const seedOf = (userData: string) =>
  Buffer.from(
    JSON.stringify({
      userData: Buffer.from(userData).toString('base64'),
      sshKeys: ['ssh-ed25519 AAAA me'],
    }),
  )

test('cloudConfig() names one data source and keeps what is given a value, whatever it holds', () => {
  const userData = '#cloud-config\nruncmd: ["echo \'x\'"]\n: }'
  const [list, source, rest] = cloudConfig('db', seedOf(userData)).split('\n')
  assert.equal(list, 'datasource_list: [ None ]')
  assert.equal(rest, '')
  const { None } = JSON.parse(source!.replace('datasource: ', '')) as {
    None: { userdata_raw: string; metadata: Record<string, unknown> }
  }
  assert.equal(None.userdata_raw, userData)
  assert.equal(None.metadata['local-hostname'], 'db')
  assert.deepEqual(None.metadata['public-keys'], ['ssh-ed25519 AAAA me'])
  assert.notEqual(cloudConfig('db', seedOf('x')), cloudConfig('db', seedOf('y')))
})

test('cloudConfig() refuses what is no seed', () => {
  for (const seed of ['', '{', '{"userData":1}', '{"other":""}'])
    assert.throws(() => cloudConfig('db', Buffer.from(seed)), isCode('agent.resource-malformed'))
})
