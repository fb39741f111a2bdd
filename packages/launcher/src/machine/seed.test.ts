import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { findProgram } from '../find-program.ts'
import { encodeFatImage, FAT_CAPACITY_BYTES } from './fat-image.ts'
import { encodeSeed, type Seed } from './seed.ts'

const KEY = `ssh-ed25519 ${Buffer.concat([
  Buffer.from([0, 0, 0, 11]),
  Buffer.from('ssh-ed25519'),
  Buffer.from([0, 0, 0, 32]),
  Buffer.alloc(32, 7),
]).toString('base64')} me@example.org`
const SEED: Seed = { instanceId: 'vm-1', hostname: 'vm-1', sshKeys: [KEY] }

const skip = (await findProgram('mcopy')) === undefined && 'mtools is not installed'

test('encodeSeed() is a file system that others can read', { skip }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'seed-'))
  t.after(() => rm(folder, { recursive: true }))
  const path = join(folder, 'seed.img')
  const userData = Buffer.from(`#cloud-config\n${'# filler\n'.repeat(9000)}`)
  const networkConfig = Buffer.from('version: 2\n')
  await writeFile(path, encodeSeed({ ...SEED, userData, networkConfig }))
  const run = promisify(execFile)
  await run('mcopy', ['-i', path, '::*', folder])
  assert.deepEqual(await readFile(join(folder, 'user-data')), userData)
  assert.deepEqual(await readFile(join(folder, 'network-config')), networkConfig)
  assert.deepEqual(JSON.parse(await readFile(join(folder, 'meta-data'), 'utf8')), {
    'instance-id': 'vm-1',
    'local-hostname': 'vm-1',
    'public-keys': [KEY],
  })
  assert.match((await run('mlabel', ['-i', path, '-s', '::'])).stdout, /is CIDATA/)
})

test('encodeSeed() gives the same bytes each time', () => {
  assert.equal(
    createHash('sha256').update(encodeSeed(SEED)).digest('hex'),
    createHash('sha256').update(encodeSeed(SEED)).digest('hex'),
  )
  assert.notDeepEqual(encodeSeed(SEED), encodeSeed({ ...SEED, hostname: 'vm-2' }))
})

const INVALID: readonly [string, Partial<Seed>][] = [
  ['an instance id with a line break', { instanceId: 'a\nb' }],
  ['a host name with an underscore', { hostname: 'a_b' }],
  ['a host name that ends in a hyphen', { hostname: 'a-' }],
  ['an empty host name', { hostname: '' }],
  ['a key with options', { sshKeys: [`command="x" ${KEY}`] }],
  ['two keys in one', { sshKeys: [`${KEY}\n${KEY}`] }],
  ['a key of another type than it says', { sshKeys: [KEY.replace('ssh-ed25519', 'ssh-rsa')] }],
  ['no key', { sshKeys: ['ssh-ed25519'] }],
  ['user data of an unknown kind', { userData: Buffer.from('users: []\n') }],
  ['user data that is not UTF-8', { userData: Uint8Array.of(0x23, 0xff) }],
]
for (const [name, change] of INVALID)
  test(`encodeSeed() refuses ${name}`, () => {
    assert.throws(() => encodeSeed({ ...SEED, ...change }), { code: 'seed.invalid' })
  })

test('encodeSeed() refuses what is too large', () => {
  const userData = Buffer.alloc((512 << 10) + 1, '#')
  const networkConfig = Buffer.alloc((64 << 10) + 1, '#')
  for (const change of [{ userData }, { networkConfig }, { sshKeys: Array(65).fill(KEY) }])
    assert.throws(() => encodeSeed({ ...SEED, ...change }), { code: 'seed.too-large' })
})

test('encodeFatImage() refuses files that do not fit', () => {
  const content = new Uint8Array(FAT_CAPACITY_BYTES + 5000)
  assert.throws(() => encodeFatImage('X', [{ name: 'a-file', content }]), RangeError)
})
