import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { isCode } from '@cloister/protocol/testing'
import { addRecoveryKey, newRecoveryKey, rekeyDisk, type DiskKeyContext } from './disk-keys.ts'

const KEY = 'vm-db/disk-key/current'
const NEXT = 'vm-db/disk-key/next'
const RECOVERY = 'vm-db/disk-key/recovery'
const RELEASE = { version: 1 }

interface World {
  readonly context: DiskKeyContext
  /** Path to value, as the broker has them. */
  readonly secrets: Map<string, string>
  readonly owner: string
  /** What the guest does at its next start. */
  guest: (secrets: Map<string, string>) => readonly string[]
}

/** A broker that remembers, and a VM that asks it for keys when it starts. */
async function world(t: TestContext, encrypted = true): Promise<World> {
  const owner = await mkdtemp(join(tmpdir(), 'cloister-keys-'))
  t.after(() => rm(owner, { recursive: true }))
  const secrets = new Map<string, string>(encrypted ? [[KEY, 'old']] : [])
  let asked: readonly string[] = []
  const made: Omit<World, 'context'> = {
    secrets,
    owner,
    guest: (known) => [NEXT, RECOVERY].filter((path) => known.has(path)),
  }
  const broker = {
    pinned: { url: 'https://127.0.0.1:41234' },
    secrets: async () =>
      [...secrets.keys()].map((path) => ({ path, release: RELEASE, allowSimulated: true })),
    putSecret: async (path: string, { value }: { value: string }) => void secrets.set(path, value),
    removeSecret: async (path: string) => void secrets.delete(path),
    audit: async () =>
      asked.map((subject) => ({
        kind: 'release',
        outcome: 'allowed',
        subject,
        time: Date.now() + 1,
      })),
  }
  const vms = {
    stop: async () => undefined,
    start: async (_name: string, body: unknown) => {
      assert.deepEqual(body, { targets: { broker: { tcp: '127.0.0.1:41234' } } })
      asked = made.guest(secrets)
    },
    get: async () => ({ state: 'running', stages: [{ name: 'started' }] }),
  }
  const context = {
    directories: { owner },
    broker,
    hostd: { vms },
    talk: () => undefined,
    signal: new AbortController().signal,
  } as unknown as DiskKeyContext
  return Object.assign(made, { context })
}

test('rekeyDisk() makes the next key the current one after the guest has taken it', async (t) => {
  const given = await world(t)
  const before = given.secrets.get(KEY)
  await rekeyDisk('db', given.context)
  assert.notEqual(given.secrets.get(KEY), before)
  assert.deepEqual([...given.secrets.keys()], [KEY])
  assert.deepEqual(await readdir(join(given.owner, 'vms/db')), [])
})

test('rekeyDisk() keeps both keys where the guest did not take the new one, and offers the same again', async (t) => {
  const given = await world(t)
  given.guest = () => []
  await assert.rejects(rekeyDisk('db', given.context), isCode('vm-boot.key-not-taken'))
  assert.equal(given.secrets.get(KEY), 'old')
  const offered = given.secrets.get(NEXT)
  given.guest = () => [NEXT]
  await rekeyDisk('db', given.context)
  assert.equal(given.secrets.get(KEY), offered)
})

test('addRecoveryKey() gives what the guest was offered, and leaves it nowhere', async (t) => {
  const given = await world(t)
  let offered: string | undefined
  given.guest = (secrets) => {
    offered = secrets.get(RECOVERY)
    return [RECOVERY]
  }
  const key = await addRecoveryKey('db', given.context)
  assert.equal(Buffer.from(offered ?? '', 'base64').toString(), key)
  assert.equal(given.secrets.has(RECOVERY), false)
  given.guest = () => []
  await assert.rejects(addRecoveryKey('db', given.context), isCode('vm-boot.key-not-taken'))
  assert.equal(given.secrets.has(RECOVERY), false)
})

test('a VM without an encrypted disk has no key to change', async (t) => {
  const { context } = await world(t, false)
  await assert.rejects(rekeyDisk('db', context), isCode('vm-boot.not-encrypted'))
  await assert.rejects(addRecoveryKey('db', context), isCode('vm-boot.not-encrypted'))
})

test('newRecoveryKey() has 48 letters that people do not mix up', () => {
  assert.match(newRecoveryKey(), /^(?:[0-9A-HJKMNP-TV-Z]{6}-){7}[0-9A-HJKMNP-TV-Z]{6}$/)
  assert.notEqual(newRecoveryKey(), newRecoveryKey())
})
