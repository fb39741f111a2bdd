import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { assert as check, nat, property } from 'fast-check'
import { diskKeys } from './keys.ts'
import { encodeLabel, hasLabel, openLabel, type DiskLabel } from './label.ts'
import { SEALED_DISK, SEALED_HEADER_BYTES } from './layout.ts'
import {
  decodeSourceRecord,
  encodeSourceRecord,
  SOURCE_HEAD_BYTES,
  SOURCE_RECORD_BYTES,
  sourceCiphertextBytes,
} from './source.ts'

const ID = '00112233445566778899aabbccddeeff'
const KEY = Buffer.alloc(32, 1)
const HEADER = Buffer.alloc(64, 7)
const LABEL: DiskLabel = {
  kind: 'sealed',
  generation: 3,
  id: ID,
  dataBytes: 1 << 30,
  sourceBytes: 0,
  headerBytes: HEADER.length,
  openedBytes: 1_000_000_512,
  superblock: 'ab'.repeat(32),
}

test('diskKeys() gives each purpose a key of its own, and other keys under another id', () => {
  const one = diskKeys(KEY, ID)
  const other = diskKeys(KEY, ID.replace('0', '1'))
  const all = [one, other].flatMap((keys) =>
    Object.values(keys).map((key: Buffer) => key.toString('hex')),
  )
  assert.equal(new Set(all).size, 6)
  assert.deepEqual(diskKeys(KEY, ID), one)
  assert.throws(() => diskKeys(KEY.subarray(1), ID), RangeError)
  // Fixed: a change of the derivation closes every disk that there is.
  assert.equal(
    one.mac.toString('hex'),
    '8e98586cbb880e441232b412d0718f94c22312154f61bad6286dfd274eb20549',
  )
})

test('openLabel() gives back what encodeLabel() took', () => {
  const bytes = encodeLabel(LABEL, HEADER, KEY)
  assert.equal(bytes.length, SEALED_DISK.labelBytes)
  assert.ok(hasLabel(bytes))
  assert.deepEqual(openLabel(bytes, HEADER, KEY), LABEL)
})

test('openLabel() refuses any changed bit of label or header, another key, and a header of another length', () => {
  const bytes = encodeLabel(LABEL, HEADER, KEY)
  check(
    property(nat(bytes.length + HEADER.length - 1), nat(7), (position, bit) => {
      const label = Buffer.from(bytes)
      const header = Buffer.from(HEADER)
      if (position < label.length) label[position]! ^= 1 << bit
      else header[position - label.length]! ^= 1 << bit
      return openLabel(label, header, KEY) === undefined
    }),
  )
  assert.equal(openLabel(bytes, HEADER, Buffer.alloc(32, 2)), undefined)
  assert.equal(openLabel(bytes, HEADER.subarray(1), KEY), undefined)
  assert.equal(openLabel(bytes, new Uint8Array(0), KEY), undefined)
  assert.equal(openLabel(bytes.subarray(1), HEADER, KEY), undefined)
  assert.ok(SEALED_DISK.labelBytes + SEALED_HEADER_BYTES < SEALED_DISK.slotBytes)
})

test('source records open at their own place only, unchanged', () => {
  const record = { offset: 123 << 20, data: randomBytes(5000) }
  const bytes = encodeSourceRecord(KEY, 4, record)
  const head = bytes.subarray(0, SOURCE_HEAD_BYTES)
  const body = bytes.subarray(SOURCE_HEAD_BYTES)
  assert.equal(sourceCiphertextBytes(head), body.length)
  const opened = decodeSourceRecord(KEY, 4, head, body)
  assert.equal(opened?.offset, record.offset)
  assert.deepEqual(Buffer.from(opened.data), record.data)
  assert.equal(decodeSourceRecord(KEY, 5, head, body), undefined)
  assert.equal(decodeSourceRecord(Buffer.alloc(32), 4, head, body), undefined)
  for (const place of [4, 19, 20, 28, bytes.length - 1]) {
    const changed = Buffer.from(bytes)
    changed[place]! ^= 1
    const changedHead = changed.subarray(0, SOURCE_HEAD_BYTES)
    assert.equal(
      decodeSourceRecord(KEY, 4, changedHead, changed.subarray(SOURCE_HEAD_BYTES)),
      undefined,
    )
  }
})

test('sourceCiphertextBytes() takes no length beyond a record', () => {
  const head = (length: number) => {
    const bytes = Buffer.alloc(SOURCE_HEAD_BYTES)
    bytes.writeUInt32LE(length)
    return bytes
  }
  assert.equal(sourceCiphertextBytes(head(8)), 8)
  assert.equal(sourceCiphertextBytes(head(SOURCE_RECORD_BYTES + 8)), SOURCE_RECORD_BYTES + 8)
  for (const length of [0, 7, SOURCE_RECORD_BYTES + 9, 0xffff_ffff])
    assert.equal(sourceCiphertextBytes(head(length)), undefined)
})
