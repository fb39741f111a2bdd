import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test, type TestContext } from 'node:test'
import { prunedBefore, readAuditLeaf } from '@cloister/protocol/audit-entry'
import type { AuditContent } from '@cloister/protocol/broker-admin-api'
import { openCheckpoint, parseLogKey } from '@cloister/protocol/tlog/checkpoint'
import { completeHash, joinSubtrees, leafHash, subtreesOf } from '@cloister/protocol/tlog/merkle'
import { decodeBundle, TILE_WIDTH } from '@cloister/protocol/tlog/tiles'
import { loadAuditKey } from './audit-key.ts'
import { AuditLog } from './audit-log.ts'
import { Database, MIGRATIONS } from './database.ts'

const UNBOUNDED = 1 << 30

const entry = (n: number): AuditContent => ({
  time: n,
  requestId: String(n).padStart(32, '0'),
  kind: 'release',
  outcome: 'refused',
  code: 'release.debug',
  workload: `w${n % 2}`,
  checks: [{ code: 'release.debug', outcome: 'fail' }],
})

function home(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'cloister-audit-test-'))
  t.after(() => {
    rmSync(path, { recursive: true })
  })
  return path
}

function open(directory: string, limitBytes = UNBOUNDED) {
  const database = new Database(join(directory, 'broker.db'))
  try {
    const log = new AuditLog(database, loadAuditKey(join(directory, 'audit.key')), limitBytes)
    return { log, database, [Symbol.dispose]: () => database.close() }
  } catch (error) {
    database.close()
    throw error
  }
}

function headOf(log: AuditLog) {
  const key = parseLogKey(log.publicKey)
  const head = key && openCheckpoint(log.checkpoint(), key)
  assert.ok(head !== undefined)
  return head
}

/** Worked out anew from all entries, in the order of the definition. */
function rootOf(leaves: readonly string[]): Buffer {
  const hashes = leaves.map(leafHash)
  const parts = subtreesOf({ from: 0, to: hashes.length }).map(({ level, index }) =>
    completeHash(Buffer.concat(hashes.slice(index * 2 ** level, (index + 1) * 2 ** level))),
  )
  return Buffer.from(joinSubtrees(parts))
}

function tamper(directory: string, sql: string): void {
  const raw = new DatabaseSync(join(directory, 'broker.db'))
  for (const { name } of raw.prepare("SELECT name FROM sqlite_master WHERE type = 'trigger'").all())
    raw.exec(`DROP TRIGGER ${String(name)}`)
  raw.exec(sql)
  raw.close()
}

test('an entry that the disk has no room for is refused with its code, and log and tree go on without it', (t) => {
  const directory = home(t)
  const large = (n: number): AuditContent => ({ ...entry(n), subject: 'x'.repeat(3000) })
  let size: number
  {
    using held = open(directory)
    const { log, database } = held
    const bound = (pages: number) => database.prepare(`PRAGMA max_page_count = ${pages}`).get()
    log.append(large(0))
    // No page beyond those that are there.
    bound(1)
    const full = { code: 'host.disk-full' }
    for (let n = 1; ; n++) {
      assert.ok(n < 10, 'a disk that is full takes nothing')
      try {
        log.append(large(n))
      } catch (error) {
        assert.equal((error as { code?: string }).code, full.code)
        break
      }
    }
    size = log.count()
    assert.throws(() => log.append(large(20)), full)
    assert.equal(log.count(), size)
    bound(1 << 20)
    log.append(large(21))
    size += 1
    assert.equal(headOf(log).size, size)
    const leaves = log.find({ limit: 100 }).map(({ leaf }) => leaf)
    assert.deepEqual(Buffer.from(headOf(log).root), rootOf(leaves.toReversed()))
  }
  // The next broker finds what the last checkpoint said.
  using again = open(directory)
  assert.equal(headOf(again.log).size, size)
})

test('the root is that of all entries, over tiles and restarts', (t) => {
  const directory = home(t)
  let written = 0
  for (const size of [0, 1, 5, 255, 256, 257, 600, 66_000]) {
    using opened = open(directory)
    const { log } = opened
    opened.database.write('ordered', () => undefined)
    while (written < size) log.append(entry(++written))
    const leaves = log.find({ limit: 100_000 }).map(({ leaf }) => leaf)
    assert.deepEqual(headOf(log), { size, root: rootOf(leaves.toReversed()) })
    assert.equal(log.count(), size)
  }
  using opened = open(directory)
  assert.equal(headOf(opened.log).size, 66_000)
  const tile = opened.log.tile({ level: 2, number: 0, width: 1 })
  assert.equal(tile.length, 32)
  const bundle = decodeBundle(opened.log.tile({ level: 'entries', number: 257, width: 208 }))
  assert.equal(bundle?.length, 208)
  assert.equal(JSON.parse(Buffer.from(bundle[207]!).toString()).time, 66_000)
})

test('entries are found by request and workload, and cannot be changed', (t) => {
  using opened = open(home(t))
  const { log, database } = opened
  for (let n = 1; n <= 300; n++) log.append(entry(n))
  assert.deepEqual(
    log.find({ workload: 'w1', before: 5, limit: 9 }).map(({ index }) => index),
    [4, 2, 0],
  )
  const [found] = log.find({ requestId: entry(4).requestId, limit: 9 }).map(readAuditLeaf)
  assert.deepEqual([found?.index, found?.time, found?.code], [3, 4, 'release.debug'])
  log.checkpoint()
  for (const sql of [
    "UPDATE audit_entries SET entry = ''",
    'DELETE FROM audit_entries',
    'DELETE FROM audit_tiles',
    "UPDATE audit_tiles SET hashes = x''",
  ])
    assert.throws(() => database.prepare(sql).run(), /append-only/)
})

test('an entry that would be too long for a bundle keeps its codes', (t) => {
  using opened = open(home(t))
  const { log } = opened
  const check = { code: 'release.rego', outcome: 'fail' as const, where: 'w'.repeat(3000) }
  const long = { ...check, received: 'x'.repeat(70_000) }
  log.append({ ...entry(1), checks: [long] })
  log.append({ ...entry(2), checks: Array.from({ length: 40 }, () => long) })
  const [second, first] = log.find({ limit: 2 }).map(readAuditLeaf)
  assert.equal(first?.checks[0]?.received, `${'x'.repeat(256)}…`)
  assert.deepEqual(second?.checks[39], { code: 'release.rego', outcome: 'fail' })
  assert.equal(decodeBundle(log.tile({ level: 'entries', number: 0, width: 2 }))?.length, 2)
})

test('at its bound the oldest bundles go, the tree stays, and an entry tells it', (t) => {
  const directory = home(t)
  const limit = 120_000
  let root: Uint8Array | undefined
  const texts: string[] = []
  for (const upTo of [900, 1500]) {
    using opened = open(directory, limit)
    const { log, database } = opened
    while (headOf(log).size < upTo) {
      log.append(entry(headOf(log).size))
      const from = texts.length
      const newer = log.find({ limit: 3 }).filter(({ index }) => index >= from)
      texts.push(...newer.toReversed().map(({ leaf }) => leaf))
    }
    const kept = log.find({ limit: 10_000 })
    const first = kept.at(-1)!.index
    assert.ok(first > 0 && first % TILE_WIDTH === 0)
    assert.ok(kept.reduce((sum, { leaf }) => sum + leaf.length, 0) <= limit)
    assert.ok(kept.some((leaf) => prunedBefore(readAuditLeaf(leaf)) === first))
    assert.throws(() => log.tile({ level: 'entries', number: 0, width: TILE_WIDTH }), {
      code: 'broker.audit-pruned',
    })
    assert.equal(log.tile({ level: 0, number: 0, width: TILE_WIDTH }).length, TILE_WIDTH * 32)
    root = headOf(log).root
    assert.deepEqual(root, rootOf(texts))
    for (const sql of ['DELETE FROM audit_entries', 'DELETE FROM audit_pruned'])
      assert.throws(() => database.prepare(sql).run(), /append-only/)
  }
  using opened = open(directory, limit)
  assert.deepEqual(headOf(opened.log).root, root)
})

test('a log that does not go on from what it signed is not opened', (t) => {
  for (const sql of [
    'DELETE FROM audit_entries WHERE position = 299',
    "UPDATE audit_entries SET entry = replace(entry, 'refused', 'allowed') WHERE position = 299",
    'UPDATE audit_tiles SET hashes = zeroblob(8192) WHERE level = 0',
  ]) {
    const directory = home(t)
    {
      using opened = open(directory)
      for (let n = 1; n <= 300; n++) opened.log.append(entry(n))
      opened.log.checkpoint()
    }
    tamper(directory, sql)
    assert.throws(() => open(directory), { code: 'broker.storage' }, sql)
  }
})

test('a chain of hashes becomes a tree that begins with it, and names its head', (t) => {
  const directory = home(t)
  const file = join(directory, 'broker.db')
  const old = new DatabaseSync(file)
  for (const migration of MIGRATIONS.slice(0, 3)) old.exec(migration)
  old.exec('PRAGMA user_version = 3')
  const insert = old.prepare('INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?)')
  let previousHash = '0'.repeat(64)
  // As after a cut: the first number is not 1.
  for (let sequence = 41; sequence <= 400; sequence++) {
    const { time, requestId, workload } = entry(sequence)
    const text = JSON.stringify({ sequence, ...entry(sequence), previousHash })
    previousHash = createHash('sha256').update(text).digest('hex')
    insert.run(sequence, time, requestId, workload!, text, previousHash)
  }
  old.close()
  for (const size of [361, 362]) {
    using opened = open(directory)
    const { log } = opened
    if (size === 362) log.append(entry(1))
    const leaves = log.find({ limit: 1000 }).toReversed()
    assert.deepEqual(headOf(log), { size, root: rootOf(leaves.map(({ leaf }) => leaf)) })
    const entries = leaves.map(readAuditLeaf)
    assert.equal(entries[0]?.requestId, entry(41).requestId)
    assert.equal(entries[360]?.subject, `audit.chain 400 ${previousHash}`)
    assert.equal(log.find({ requestId: entry(77).requestId, limit: 1 })[0]?.index, 36)
  }
})

test('kill -9 at any moment leaves a log that goes on from every checkpoint it gave away', async (t) => {
  const directory = home(t)
  const program = `
    import { AuditLog } from ${JSON.stringify(new URL('audit-log.ts', import.meta.url).href)}
    import { loadAuditKey } from ${JSON.stringify(new URL('audit-key.ts', import.meta.url).href)}
    import { Database } from ${JSON.stringify(new URL('database.ts', import.meta.url).href)}
    const log = new AuditLog(new Database(process.argv[1] + '/broker.db'), loadAuditKey(process.argv[1] + '/audit.key'), 60_000)
    for (let n = 1; ; n++) {
      log.append({ time: n, requestId: '0'.repeat(32), kind: 'release', outcome: 'allowed', checks: [] })
      if (n % 50 === 0) process.stdout.write(JSON.stringify(log.checkpoint()) + '\\n')
    }`
  let last = 0
  for (const lines of [3, 20, 40]) {
    const child = spawn(process.execPath, ['--input-type=module', '-e', program, directory], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let output = ''
    for await (const chunk of child.stdout) {
      output += String(chunk)
      if (output.split('\n').length > lines) break
    }
    child.kill('SIGKILL')
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    const given = output
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as string)
    using opened = open(directory, 60_000)
    const key = parseLogKey(opened.log.publicKey)!
    const head = openCheckpoint(given.at(-1)!, key)!
    assert.ok(head.size > last)
    assert.ok(headOf(opened.log).size >= head.size)
    last = head.size
  }
})
