import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import {
  appendFileSync,
  cpSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test, type TestContext } from 'node:test'
import { auditLeaf, prunedBefore, readAuditLeaf } from '@cloister/protocol/audit-entry'
import type { AuditContent } from '@cloister/protocol/broker-admin-api'
import { openCheckpoint, parseLogKey } from '@cloister/protocol/tlog/checkpoint'
import { completeHash, joinSubtrees, leafHash, subtreesOf } from '@cloister/protocol/tlog/merkle'
import { decodeBundle, TILE_WIDTH } from '@cloister/protocol/tlog/tiles'
import { AuditJournal } from './audit-journal.ts'
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

/** A line of the journal. */
const lineOf = (position: number, leaf: string): string =>
  `${position} ${Buffer.from(leafHash(leaf)).toString('hex')} ${leaf}\n`
/** With the n-th entry. */
const entryLine = (position: number, n: number) => lineOf(position, auditLeaf(entry(n)))

function home(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'cloister-audit-test-'))
  t.after(() => {
    rmSync(path, { recursive: true })
  })
  return path
}

/** Its end is like that of a process: what waits in the journal stays there. */
function open(directory: string, limitBytes = UNBOUNDED) {
  const files = new DisposableStack()
  try {
    const database = new Database(join(directory, 'broker.db'))
    files.defer(() => database.close())
    const journal = files.use(new AuditJournal(join(directory, 'audit.journal')))
    const key = loadAuditKey(join(directory, 'audit.key'))
    const log = new AuditLog(database, { key, journal, limitBytes })
    return { log, database, [Symbol.dispose]: () => files.dispose() }
  } catch (error) {
    files.dispose()
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

const journalOf = (directory: string) => join(directory, 'audit.journal')

test('an entry that the disk has no room for is refused with its code, and log and tree go on without it', (t) => {
  const directory = home(t)
  const large = (n: number): AuditContent => ({ ...entry(n), subject: 'x'.repeat(3000) })
  const full = { code: 'host.disk-full' }
  {
    using held = open(directory)
    const { log, database } = held
    const bound = (pages: number) => database.prepare(`PRAGMA max_page_count = ${pages}`).get()
    log.append(large(0))
    // No page beyond those that are there: entries wait in the journal until they fill a tile.
    bound(1)
    for (let n = 1; n < TILE_WIDTH - 1; n++) log.append(large(n))
    for (let n = 0; n < 3; n++) assert.throws(() => log.append(large(300 + n)), full)
    assert.throws(() => log.checkpoint(), full)
    assert.equal(log.count(), TILE_WIDTH - 1)
    assert.equal(log.find({ limit: 1000 }).length, TILE_WIDTH - 1)
    bound(1 << 20)
    log.append(large(400))
    assert.equal(headOf(log).size, TILE_WIDTH)
    const leaves = log.find({ limit: 1000 }).map(({ leaf }) => leaf)
    assert.deepEqual(Buffer.from(headOf(log).root), rootOf(leaves.toReversed()))
  }
  {
    // The next broker finds what the last checkpoint said.
    using again = open(directory)
    assert.equal(headOf(again.log).size, TILE_WIDTH)
  }
  rmSync(journalOf(directory))
  symlinkSync('/dev/full', journalOf(directory))
  {
    using held = open(directory)
    for (let n = 0; n < 3; n++) assert.throws(() => held.log.append(entry(n)), full)
    assert.equal(held.log.count(), TILE_WIDTH)
    // What need not wait goes into the table.
    held.log.append(entry(1), 'durable')
    assert.equal(headOf(held.log).size, TILE_WIDTH + 1)
  }
  rmSync(journalOf(directory))
  using last = open(directory)
  last.log.append(entry(2))
  assert.equal(headOf(last.log).size, TILE_WIDTH + 2)
})

test('entries that wait are found like all others, and read without a write', (t) => {
  const directory = home(t)
  using opened = open(directory)
  const { log, database } = opened
  for (let n = 1; n <= 300; n++) log.append(entry(n))
  const inTable = database.prepare('SELECT count(*) AS n FROM audit_entries').get()?.['n']
  assert.equal(inTable, TILE_WIDTH)
  const found = (query: Parameters<typeof log.find>[0]) => log.find(query).map(({ index }) => index)
  assert.deepEqual(found({ limit: 3 }), [299, 298, 297])
  assert.deepEqual(found({ limit: 2, workload: 'w1' }), [298, 296])
  assert.deepEqual(found({ limit: 3, before: 258 }), [257, 256, 255])
  assert.deepEqual(found({ limit: 3, workload: 'w1', before: 258 }), [256, 254, 252])
  assert.deepEqual(found({ limit: 3, requestId: entry(290).requestId }), [289])
  assert.deepEqual(found({ limit: 3, requestId: entry(2).requestId }), [1])
  const bundle = decodeBundle(log.tile({ level: 'entries', number: 1, width: 44 }))
  assert.equal(bundle?.length, 44)
  assert.equal(JSON.parse(Buffer.from(bundle[43]!).toString()).time, 300)
  assert.equal(log.count(), 300)
  assert.deepEqual(
    database.prepare('SELECT count(*) AS n FROM audit_entries').get()?.['n'],
    TILE_WIDTH,
  )
  assert.ok(statSync(journalOf(directory)).size > 0)
  log.checkpoint()
  assert.equal(readFileSync(journalOf(directory))[0], 0x0a)
  assert.equal(statSync(journalOf(directory)).mode & 0o777, 0o600)
})

test('large entries do not wait until a tile is full', (t) => {
  const directory = home(t)
  using opened = open(directory)
  const check = { code: 'release.rego', outcome: 'fail' as const, received: 'ü'.repeat(30_000) }
  for (let n = 1; n <= 100; n++) {
    opened.log.append({ ...entry(n), checks: [check] })
    assert.ok(statSync(journalOf(directory)).size <= 3 << 19)
  }
  assert.equal(opened.log.find({ limit: 1000 }).length, 100)
  assert.equal(headOf(opened.log).size, 100)
})

test('what was in the table already when a broker ended, and still in the journal, is taken up once', (t) => {
  const directory = home(t)
  let left: Buffer
  let head
  {
    using opened = open(directory)
    for (let n = 1; n <= 20; n++) opened.log.append(entry(n))
    left = readFileSync(journalOf(directory))
    head = headOf(opened.log)
  }
  for (let ends = 0; ends < 2; ends++) {
    writeFileSync(journalOf(directory), left)
    using opened = open(directory)
    assert.deepEqual(headOf(opened.log), head)
  }
  assert.equal(statSync(journalOf(directory)).size, 0)
  // The table had the first of a longer journal only: no commit does that, and nothing is lost or doubled by it.
  writeFileSync(journalOf(directory), Buffer.concat([left, Buffer.from(entryLine(20, 21))]))
  using opened = open(directory)
  assert.equal(headOf(opened.log).size, 21)
  assert.equal(opened.log.find({ limit: 100 }).length, 21)
})

test('a line that was being written when a broker ended is none, whatever stood there before', (t) => {
  const line = entryLine(2, 3)
  const remains = [entryLine(2, 9).slice(40), entryLine(1, 2), entryLine(9, 3), '\0'.repeat(4096)]
  for (const torn of ['2', '2 ', line.slice(0, 40), line.slice(0, -9)])
    for (const older of ['', '\n', ...remains]) {
      const directory = home(t)
      {
        using opened = open(directory)
        for (let n = 1; n <= 2; n++) opened.log.append(entry(n))
      }
      appendFileSync(journalOf(directory), torn + older)
      {
        using opened = open(directory)
        assert.equal(opened.log.count(), 2)
        opened.log.append(entry(4))
      }
      using opened = open(directory)
      assert.deepEqual(
        opened.log.find({ limit: 9 }).map(({ leaf }) => JSON.parse(leaf).time),
        [4, 2, 1],
      )
    }
})

test('a journal that does not go on from the log, or holds what is no entry, is not taken up', (t) => {
  for (const lines of [
    // Another text in the place of an entry that was signed.
    entryLine(4, 77),
    entryLine(3, 4) + entryLine(4, 77),
    // A gap.
    entryLine(6, 7),
    lineOf(5, '{"time":6}'),
    lineOf(5, 'x'),
  ]) {
    const directory = home(t)
    {
      using opened = open(directory)
      for (let n = 1; n <= 5; n++) opened.log.append(entry(n))
      opened.log.checkpoint()
    }
    writeFileSync(journalOf(directory), lines)
    assert.throws(() => open(directory), { code: 'broker.storage' }, lines)
    writeFileSync(journalOf(directory), entryLine(5, 6))
    using opened = open(directory)
    assert.equal(headOf(opened.log).size, 6)
  }
})

test('a changed line ends the journal, and whoever has seen the log before sees it', (t) => {
  const directory = home(t)
  let lines: string
  let seen
  {
    using opened = open(directory)
    const { log } = opened
    for (let n = 1; n <= 9; n++) log.append(entry(n))
    lines = readFileSync(journalOf(directory), 'utf8')
    seen = headOf(log)
  }
  // The table as it was before the owner looked.
  const before = home(t)
  {
    using opened = open(before)
    cpSync(join(directory, 'audit.key'), join(before, 'audit.key'))
    assert.equal(opened.log.count(), 0)
  }
  for (const [changed, size] of [
    [lines.replace('"time":5', '"time":6'), 4],
    [lines.replace(/^4 .*$/m, entryLine(4, 77).trimEnd()), 9],
    [lines, 9],
  ] as const) {
    const place = home(t)
    cpSync(before, place, { recursive: true })
    writeFileSync(journalOf(place), changed)
    using opened = open(place)
    const head = headOf(opened.log)
    assert.equal(head.size, size)
    const isSame = Buffer.from(head.root).equals(Buffer.from(seen.root))
    assert.equal(isSame, changed === lines)
  }
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

/** The beginning of a program for a process of its own, which opens the `log` of the folder that is its argument. */
function opensLog(limitBytes: number): string {
  return `
  import { AuditJournal } from ${JSON.stringify(new URL('audit-journal.ts', import.meta.url).href)}
  import { AuditLog } from ${JSON.stringify(new URL('audit-log.ts', import.meta.url).href)}
  import { loadAuditKey } from ${JSON.stringify(new URL('audit-key.ts', import.meta.url).href)}
  import { Database } from ${JSON.stringify(new URL('database.ts', import.meta.url).href)}
  const database = new Database(process.argv[1] + '/broker.db')
  const key = loadAuditKey(process.argv[1] + '/audit.key')
  const journal = new AuditJournal(process.argv[1] + '/audit.journal')
  const log = new AuditLog(database, { key, journal, limitBytes: ${limitBytes} })`
}

test('kill -9 at any moment leaves a log that goes on from every checkpoint it gave away', async (t) => {
  const directory = home(t)
  const program = `
    ${opensLog(60_000)}
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

test('kill -9 loses no entry that append came back from, and none changes its place', async (t) => {
  const directory = home(t)
  const program = `
    import { writeSync } from 'node:fs'
    ${opensLog(1 << 30)}
    const from = log.count()
    for (let n = from + 1; ; n++) {
      log.append({ time: n, requestId: '0'.repeat(32), kind: 'release', outcome: 'allowed', checks: [] })
      writeSync(1, n + '\\n')
    }`
  let answered = 0
  for (const more of [7, 300, 530]) {
    const child = spawn(process.execPath, ['--input-type=module', '-e', program, directory], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const enough = answered + more
    let output = ''
    for await (const chunk of child.stdout) {
      output += String(chunk)
      if (Number(output.trimEnd().split('\n').at(-1)) >= enough) child.kill('SIGKILL')
    }
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    assert.equal(child.signalCode, 'SIGKILL')
    answered = Number(output.split('\n').at(-2))
    using opened = open(directory)
    const times = opened.log.find({ limit: 100_000 }).map(({ leaf }) => JSON.parse(leaf).time)
    assert.ok(times.length >= answered && times.length <= answered + 1)
    assert.deepEqual(
      times.toReversed(),
      times.map((_, index) => index + 1),
    )
    answered = times.length
  }
})
