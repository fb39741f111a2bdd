import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test, type TestContext } from 'node:test'
import { startBroker } from '@cloister/broker'
import { directories, type Directories } from '@cloister/protocol/directories'
import { adminPublicKey, openAdminKey } from '../owner/admin-key.ts'
import { openBroker } from '../owner/broker-client.ts'
import { pinBroker } from '../owner/pinned-broker.ts'
import { assertGoesOn, assertIncluded, openLog, type OpenLog } from './open-log.ts'
import { noteSeenHashes, noteSeenLog, readSeenHashes } from './seen-log.ts'
import { verifyLog } from './verify-log.ts'

const BROKEN = { code: 'broker.audit-broken' }
const broken = (why: RegExp) => (error: unknown) => {
  const { code, details } = error as { code: string; details: { why?: string } }
  return code === BROKEN.code && why.test(details.why ?? '')
}

interface Owner {
  readonly places: Directories
  /** Runs something against the broker, started over what its directory holds. */
  readonly withBroker: <Result>(
    run: (broker: ReturnType<typeof openBroker>) => Promise<Result>,
    limits?: { readonly auditBytes: number },
  ) => Promise<Result>
}

function newOwner(t: TestContext): Owner {
  const home = mkdtempSync(join(tmpdir(), 'cloister-owner-test-'))
  t.after(() => {
    rmSync(home, { recursive: true })
  })
  const places = directories({ CLOISTER_HOME: home })
  return {
    places,
    withBroker: async (run, limits = { auditBytes: 1 << 30 }) => {
      const adminKeys = [adminPublicKey(openAdminKey(places))]
      const listen = { host: '127.0.0.1', port: 0 }
      await using broker = await startBroker({
        directory: places.broker,
        listen,
        adminKeys,
        limits: { ...limits, burst: 1e6 },
      })
      const { url, spki, tokenSigner } = broker
      pinBroker(places, { url, spki: [spki], tokenSigner })
      return await run(openBroker(places))
    },
  }
}

const openSeen = (places: Directories, broker: ReturnType<typeof openBroker>, isNew = false) =>
  openLog({ directories: places, broker, signal: AbortSignal.timeout(60_000), isNew })

function note(places: Directories, { key, head }: OpenLog): void {
  noteSeenLog(places, { key, checkpoint: head.checkpoint, seenAt: 1 })
}

async function act(broker: ReturnType<typeof openBroker>, times: number): Promise<void> {
  for (let n = 0; n < times; n++) await broker.removeSecret('a/b/c').catch(() => undefined)
}

/** As somebody with the broker's machine can: without its guards, and without the checkpoint that it compares itself with. */
function rewrite(places: Directories, sql: string): void {
  const database = new DatabaseSync(join(places.broker, 'broker.db'))
  const triggers = database.prepare("SELECT name FROM sqlite_master WHERE type = 'trigger'").all()
  for (const { name } of triggers) database.exec(`DROP TRIGGER ${String(name)}`)
  database.exec(`DELETE FROM audit_checkpoint; ${sql}`)
  database.close()
}

const changed = (index: number, from = 'a/b/c', to = 'x/y/z') =>
  `UPDATE audit_entries SET entry = replace(entry, '${from}', '${to}') WHERE position = ${index}`

test('a log that grows goes on from what was seen, over many steps', async (t) => {
  const { places, withBroker } = newOwner(t)
  for (const times of [0, 1, 2, 5, 0])
    await withBroker(async (broker) => {
      await act(broker, times)
      const log = await openSeen(places, broker)
      await assertGoesOn(log)
      const leaves = await broker.auditLeaves({ limit: 3 })
      await assertIncluded(log, leaves)
      for (const other of leaves.slice(1)) {
        const moved = { index: other.index, leaf: leaves[0]!.leaf }
        await assert.rejects(assertIncluded(log, [moved]), BROKEN)
      }
      const beyond = { index: log.head.size, leaf: 'x' }
      await assert.rejects(assertIncluded(log, [beyond]), BROKEN)
      const { hashes, firstKept } = await verifyLog(log, readSeenHashes(places))
      assert.deepEqual([hashes.length, firstKept], [log.head.size * 32, 0])
      note(places, log)
      noteSeenHashes(places, hashes)
    })
})

test('an older copy of the broker, another key and another history are found', async (t) => {
  const { places, withBroker } = newOwner(t)
  await withBroker((broker) => act(broker, 3))
  const copy = `${places.broker}.copy`
  cpSync(places.broker, copy, { recursive: true })
  await withBroker(async (broker) => {
    await act(broker, 4)
    const log = await openSeen(places, broker)
    noteSeenHashes(places, (await verifyLog(log, new Uint8Array())).hashes)
    note(places, log)
  })
  rmSync(places.broker, { recursive: true })
  cpSync(copy, places.broker, { recursive: true })
  const shorter = broken(/entry 3 and those after it are gone/)
  await withBroker((broker) => assert.rejects(openSeen(places, broker), shorter))
  // Filled up again, with other entries.
  await withBroker(async (broker) => {
    await act(broker, 5)
    const log = await openSeen(places, broker)
    await assert.rejects(assertGoesOn(log), broken(/does not go on from the 7 entries/))
    const named = broken(/another history.*entry 3 is the first/)
    await assert.rejects(verifyLog(log, readSeenHashes(places)), named)
  })
  rmSync(join(places.broker, 'audit.key'))
  rewrite(places, '')
  await withBroker(async (broker) => {
    await assert.rejects(openSeen(places, broker), broken(/another key/))
    await assertGoesOn(await openSeen(places, broker, true))
  })
})

test('one changed entry is named, with and without its hash noted before', async (t) => {
  const { places, withBroker } = newOwner(t)
  await withBroker((broker) => act(broker, 300))
  // The tile over it is full and stays: no signed root has such an entry.
  rewrite(places, changed(77))
  await withBroker(async (broker) => {
    const log = await openSeen(places, broker)
    const named = broken(/do not give the signed root; entry 77 is the first/)
    await assert.rejects(verifyLog(log, new Uint8Array()), named)
    const leaves = await broker.auditLeaves({ limit: 1000 })
    await assert.rejects(assertIncluded(log, leaves), broken(/entry 77 /))
  })
  rewrite(places, changed(77, 'x/y/z', 'a/b/c'))
  await withBroker(async (broker) => {
    const log = await openSeen(places, broker)
    noteSeenHashes(places, (await verifyLog(log, new Uint8Array())).hashes)
    note(places, log)
  })
  // The tiles made anew over a changed entry: a whole tree, but another one.
  rewrite(places, `${changed(12)}; DELETE FROM audit_tiles`)
  await withBroker(async (broker) => {
    const log = await openSeen(places, broker)
    await assert.rejects(assertGoesOn(log), BROKEN)
    const named = broken(/another history.*entry 12 is the first/)
    await assert.rejects(verifyLog(log, readSeenHashes(places)), named)
  })
})

test('entries that were taken out at the bound are told, and those taken out beside it are found', async (t) => {
  const { places, withBroker } = newOwner(t)
  await withBroker(
    async (broker) => {
      await act(broker, 700)
      const log = await openSeen(places, broker)
      const { firstKept } = await verifyLog(log, new Uint8Array())
      assert.ok(firstKept > 0 && firstKept % 256 === 0)
      note(places, log)
    },
    { auditBytes: 100_000 },
  )
  rewrite(places, 'DELETE FROM audit_entries WHERE position < 512')
  await withBroker(async (broker) => {
    const log = await openSeen(places, broker)
    await assertGoesOn(log)
    await assert.rejects(verifyLog(log, new Uint8Array()), broken(/before 512 are gone/))
  })
})
