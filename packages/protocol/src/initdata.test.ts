import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import * as fc from 'fast-check'
import { isCode } from './testing.ts'
import {
  encodeInitdata,
  encodeInitdataDisk,
  initdataDigest,
  initdataField,
  initdataOf,
  parseInitdata,
  parseInitdataDisk,
  parseWorkload,
} from './initdata.ts'
import { LIMITS } from './limits.ts'

const WORKLOAD = {
  version: 1 as const,
  name: 'demo',
  revision: 1,
  broker: { url: 'https://broker.example', spki: ['ab'.repeat(32)] },
  image: {
    reference: 'registry.example/demo@sha256:' + 'cd'.repeat(32),
    digest: 'sha256:' + 'cd'.repeat(32),
    registry: { target: 'registry', plainHttp: true },
  },
  container: { id: 'demo' },
}

test('encodeInitdata() and parseInitdata() agree on any text, quotes and control characters included', () => {
  const text = fc.string({
    unit: fc.oneof(fc.constantFrom("'", '"', '\\', '\n', '\r', '\t', '\0', '\u007f'), fc.string()),
  })
  fc.assert(
    fc.property(text, fc.dictionary(fc.string({ minLength: 1 }), text), (value, more) => {
      const data: Record<string, string> = { 'a b': value, ...more }
      if (
        Object.hasOwn(data, '__proto__') ||
        !Object.values(data)
          .concat(Object.keys(data))
          .every((s) => s.isWellFormed())
      )
        return
      const parsed = parseInitdata(encodeInitdata({ algorithm: 'sha256', data }))
      assert.deepEqual({ ...parsed.data }, data)
    }),
    { numRuns: 300 },
  )
})

test('encodeInitdata() keeps JSON readable as a literal string and gives the same bytes again', () => {
  const document = encodeInitdata(initdataOf(WORKLOAD, 'package agent_policy\n'))
  assert.deepEqual(document, encodeInitdata(initdataOf(WORKLOAD, 'package agent_policy\n')))
  assert.match(Buffer.from(document).toString(), /"cloister\.json" = '''\n\{"version":1/)
  assert.equal(parseWorkload(parseInitdata(document)).hostPolicy.exec, false)
})

test('parseInitdata() refuses another version, algorithm, member or encoding', () => {
  for (const text of [
    'version = "0.2.0"\nalgorithm = "sha256"\n[data]\n',
    'version = "0.1.0"\nalgorithm = "md5"\n[data]\n',
    'version = "0.1.0"\nalgorithm = "sha256"\nmore = 1\n[data]\n',
    'version = "0.1.0"\nalgorithm = "sha256"\n[data]\na = 1\n',
    'version = "0.1.0"\nalgorithm = "sha256"\n[data]\na = "1"\na = "2"\n',
    'version',
    '\ufeffversion = "0.1.0"',
  ])
    assert.throws(() => parseInitdata(Buffer.from(text)), isCode('initdata.malformed'))
  assert.throws(() => parseInitdata(Uint8Array.of(0xff, 0xfe)), isCode('initdata.malformed'))
  assert.throws(
    () => parseInitdata(new Uint8Array(LIMITS.initdataBytes + 1)),
    isCode('initdata.too-large'),
  )
})

test('initdataField() cuts and pads at the end', () => {
  const digest = initdataDigest(Buffer.from('x'), 'sha384')
  assert.deepEqual(initdataField(digest, 32), new Uint8Array(digest.subarray(0, 32)))
  assert.deepEqual(initdataField(Uint8Array.of(1), 3), Uint8Array.of(1, 0, 0))
})

test('parseInitdataDisk() returns what encodeInitdataDisk() wrote, whatever follows on the disk', () => {
  const document = encodeInitdata(initdataOf(WORKLOAD))
  const disk = encodeInitdataDisk(document)
  assert.equal(disk.length % 512, 0)
  assert.deepEqual(new Uint8Array(parseInitdataDisk(disk)), document)
  assert.deepEqual(
    new Uint8Array(parseInitdataDisk(Buffer.concat([disk, Buffer.alloc(4096, 7)]))),
    document,
  )
})

test('parseInitdataDisk() refuses a wrong magic, a length beyond the disk, no gzip, and a bomb', () => {
  const disk = Buffer.from(encodeInitdataDisk(Buffer.from('x')))
  const broken = (edit: (copy: Buffer) => void) => {
    const copy = Buffer.from(disk)
    edit(copy)
    return () => parseInitdataDisk(copy)
  }
  assert.throws(
    broken((copy) => copy.write('INITDATA')),
    isCode('initdata.malformed'),
  )
  assert.throws(
    broken((copy) => copy.writeBigUInt64LE(600n, 8)),
    isCode('initdata.malformed'),
  )
  assert.throws(
    broken((copy) => copy.writeBigUInt64LE(1n << 40n, 8)),
    isCode('initdata.too-large'),
  )
  assert.throws(
    broken((copy) => copy.fill(0, 16)),
    isCode('initdata.malformed'),
  )
  assert.throws(() => parseInitdataDisk(new Uint8Array(3)), isCode('initdata.malformed'))
  const bomb = gzipSync(Buffer.alloc(LIMITS.initdataBytes + 1))
  const bombDisk = Buffer.concat([Buffer.from('initdata'), Buffer.alloc(8), bomb])
  bombDisk.writeBigUInt64LE(BigInt(bomb.length), 8)
  assert.throws(() => parseInitdataDisk(bombDisk), isCode('initdata.too-large'))
})

test('parseWorkload() refuses an absent, unreadable or unknown member', () => {
  const withText = (text?: string) => () =>
    parseWorkload({
      algorithm: 'sha256',
      data: text === undefined ? {} : { 'cloister.json': text },
    })
  assert.throws(withText(), isCode('initdata.workload-malformed'))
  assert.throws(withText('{'), isCode('initdata.workload-malformed'))
  assert.throws(
    withText(JSON.stringify({ ...WORKLOAD, hostPolicy: { execute: true } })),
    isCode('initdata.workload-malformed'),
  )
})
