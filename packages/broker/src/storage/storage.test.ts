import assert from 'node:assert/strict'
import { createSecretKey, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test, type TestContext } from 'node:test'
import { ReleasePolicySchema } from '@cloister/protocol/broker-admin-api'
import { fakeManifest, fakePolicy } from '../testing/test-broker.ts'
import { Database } from './database.ts'
import { loadKek, openSecret, sealSecret } from './envelope.ts'
import { ReferenceValueStore } from './reference-values.ts'
import { SecretStore } from './secrets.ts'
import { TrustSettings } from './trust-settings.ts'
import { WorkloadRegistry } from './workload-registry.ts'

const newKek = () => createSecretKey(randomBytes(32))
const STORAGE = { code: 'broker.storage' }

function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'cloister-storage-test-'))
  t.after(() => {
    rmSync(path, { recursive: true })
  })
  return path
}

function database(t: TestContext): Database {
  const opened = new Database(join(directory(t), 'broker.db'))
  t.after(() => {
    opened.close()
  })
  return opened
}

test('Database makes a file for its owner alone and refuses a newer schema', (t) => {
  const file = join(directory(t), 'broker.db')
  new Database(file).close()
  assert.equal(statSync(file).mode & 0o777, 0o600)
  const raw = new DatabaseSync(file)
  raw.exec('PRAGMA user_version = 99')
  raw.close()
  assert.throws(() => new Database(file), STORAGE)
  writeFileSync(file, 'not a database at all, but long enough to be looked at'.repeat(100))
  assert.throws(() => new Database(file), STORAGE)
})

test('Database belongs to one at a time', (t) => {
  const file = join(directory(t), 'broker.db')
  const first = new Database(file)
  assert.throws(() => new Database(file), STORAGE)
  first.close()
  new Database(file).close()
})

test('Database.write() says that the disk is full, and goes on when there is room', (t) => {
  const held = database(t)
  const bound = (pages: number) => held.prepare(`PRAGMA max_page_count = ${pages}`).get()
  const put = () =>
    held.write('durable', () =>
      held
        .prepare('INSERT INTO intel_collateral VALUES (?, ?, ?)')
        .run('fmspc', 'ca', Buffer.alloc(1 << 20)),
    )
  bound(1)
  assert.throws(put, { code: 'host.disk-full' })
  bound(1 << 20)
  put()
})

test('Database.write() leaves nothing of a change that throws', (t) => {
  const db = database(t)
  const settings = new TrustSettings(db)
  assert.throws(() =>
    db.write('durable', () => {
      db.prepare("INSERT INTO platforms VALUES ('x', 1)").run()
      throw new Error('stop')
    }),
  )
  assert.equal(settings.platformCount(), 0)
})

test('loadKek() makes a key once, for its owner alone, and never over existing secrets', (t) => {
  const file = join(directory(t), 'kek.bin')
  assert.throws(() => loadKek(file, false), STORAGE)
  const kek = loadKek(file, true)
  assert.equal(kek.symmetricKeySize, 32)
  assert.equal(statSync(file).mode & 0o777, 0o600)
  assert.equal(loadKek(file, false).equals(kek), true)
  writeFileSync(file, Buffer.alloc(31))
  assert.throws(() => loadKek(file, true), STORAGE)
})

test('openSecret() refuses another key, path, version and every flipped bit', () => {
  const kek = newKek()
  const name = { path: 'a/b/c', version: 1 }
  const sealed = sealSecret(kek, name, Buffer.from('value'))
  assert.equal(openSecret(kek, name, sealed).toString(), 'value')
  assert.throws(() => openSecret(newKek(), name, sealed), STORAGE)
  assert.throws(() => openSecret(kek, { ...name, path: 'a/b/d' }, sealed), STORAGE)
  assert.throws(() => openSecret(kek, { ...name, version: 2 }, sealed), STORAGE)
  for (const member of ['wrappedKey', 'ciphertext'] as const) {
    for (let index = 0; index < sealed[member].length; index++) {
      const bytes = Uint8Array.from(sealed[member])
      bytes[index] = (bytes[index] as number) ^ 1
      assert.throws(() => openSecret(kek, name, { ...sealed, [member]: bytes }), STORAGE)
    }
    assert.throws(() => openSecret(kek, name, { ...sealed, [member]: new Uint8Array(3) }), STORAGE)
  }
})

test('SecretStore reveals what was put last, small or large, and a missing version is told', (t) => {
  const held = database(t)
  const secrets = new SecretStore(held, newKek())
  const path = 'default/demo/x'
  for (const size of [0, 1, 32, 4096, 4097, 1 << 20]) {
    const value = randomBytes(size)
    secrets.put({ path, allowSimulated: true, value }, 1)
    const found = secrets.find(path)!
    for (let times = 0; times < 3; times++) {
      const revealed = secrets.reveal(found)
      assert.deepEqual(revealed, value)
      // As callers do; the next one must not get zeros.
      revealed.fill(0)
    }
  }
  held.prepare('DELETE FROM secret_versions').run()
  assert.throws(() => secrets.reveal(secrets.find(path)!), { code: 'broker.storage' })
})

test('SecretStore keeps versions, keeps a policy that is not replaced, and deletes all', (t) => {
  const secrets = new SecretStore(database(t), newKek())
  const policy = ReleasePolicySchema.parse(fakePolicy())
  const path = 'default/demo/x'
  const secret = { path, allowSimulated: true, value: Buffer.from('one') }
  assert.equal(secrets.put({ ...secret, policy }, 1), 1)
  assert.equal(secrets.put({ ...secret, value: Buffer.from('two') }, 2), 2)
  const found = secrets.find(path)
  assert.ok(found !== undefined)
  assert.deepEqual(found, { path, version: 2, createdAt: 2, allowSimulated: true, policy })
  assert.equal(secrets.reveal(found).toString(), 'two')
  assert.equal(secrets.hasReal(), false)
  secrets.put({ ...secret, allowSimulated: false }, 3)
  assert.equal(secrets.hasReal(), true)
  assert.equal(secrets.count(), 1)
  assert.equal(secrets.delete(path), true)
  assert.equal(secrets.delete(path), false)
  assert.equal(secrets.find(path), undefined)
  assert.equal(secrets.setPolicy(path, policy), false)
})

test('SecretStore forgets versions beyond the last eight', (t) => {
  const db = database(t)
  const secrets = new SecretStore(db, newKek())
  for (let time = 1; time <= 12; time++)
    secrets.put({ path: 'a/b/c', allowSimulated: false, value: Buffer.from([time]) }, time)
  const rows = db.prepare('SELECT version FROM secret_versions ORDER BY version').all()
  assert.deepEqual(
    rows.map((row) => row['version']),
    [5, 6, 7, 8, 9, 10, 11, 12],
  )
})

test('WorkloadRegistry supersedes, withdraws, and refuses revisions that do not rise', (t) => {
  const registry = new WorkloadRegistry(database(t))
  const revision = (number: number, digest: string, name = 'demo') => ({
    name,
    revision: number,
    initdataDigest: digest.repeat(32),
    initdata: Buffer.from('x'),
  })
  registry.register(revision(1, 'aa'), 1)
  registry.register(revision(1, 'aa'), 2)
  assert.equal(registry.findByInitdata('aa'.repeat(32))?.state, 'current')
  assert.throws(() => registry.register(revision(1, 'bb'), 3), { code: 'broker.workload.revision' })
  registry.register(revision(5, 'bb'), 4)
  assert.equal(registry.findByInitdata('aa'.repeat(32))?.state, 'superseded')
  assert.throws(() => registry.register(revision(4, 'cc'), 5), { code: 'broker.workload.revision' })
  // Bytes that were current once cannot come back under a higher number.
  assert.throws(() => registry.register(revision(6, 'aa'), 6), { code: 'broker.workload.revision' })
  assert.equal(registry.withdraw('demo', 5), true)
  assert.equal(registry.findByInitdata('bb'.repeat(32))?.state, 'withdrawn')
  // A withdrawn revision does not bring back the one before it.
  assert.equal(registry.findByInitdata('aa'.repeat(32))?.state, 'superseded')
  assert.throws(() => registry.register(revision(5, 'bb'), 7), { code: 'broker.workload.revision' })
  assert.equal(registry.withdraw('other'), false)
  assert.equal(registry.count(), 1)
  assert.equal(registry.list().length, 2)
})

test('ReferenceValueStore finds by anchors and mode, and withdraws', (t) => {
  const store = new ReferenceValueStore(database(t))
  const digest = 'ab'.repeat(48)
  const register = (imageVersion: number, value = digest) =>
    store.register(
      {
        manifest: fakeManifest({ imageVersion, digest: value }),
        mode: 'hardware',
        anchors: 'amd',
      },
      1,
    )
  register(2)
  register(2)
  assert.equal(store.find('amd', digest).length, 1)
  assert.equal(store.find('simulated', digest).length, 0)
  const version = { code: 'broker.guest-image.version' }
  assert.throws(() => register(1), version)
  assert.throws(() => register(2, 'cd'.repeat(48)), version)
  register(3)
  assert.equal(store.find('amd', digest).length, 2)
  assert.equal(store.withdraw('base', 3), true)
  assert.deepEqual(
    store.find('amd', digest).map(({ withdrawn }) => withdrawn),
    [false, true],
  )
  // What was withdrawn cannot be registered again.
  register(3)
  assert.equal(store.find('amd', digest).filter(({ withdrawn }) => withdrawn).length, 1)
  assert.equal(store.withdraw('base', 9), false)
  const empty = fakeManifest({ imageVersion: 9 })
  empty.expected.snp.hardware = {}
  assert.throws(() => store.register({ manifest: empty, mode: 'hardware', anchors: 'amd' }, 1), {
    code: 'broker.guest-image.empty',
  })
})
