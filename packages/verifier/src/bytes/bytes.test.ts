import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { fromBase64, fromBase64Url, toBase64, toBase64Url } from './base64.ts'
import { equalBytes } from './equal.ts'
import { FormatError } from './format-error.ts'
import { fromHex, toHex } from './hex.ts'
import { ByteReader } from './reader.ts'

test('hex, base64 and base64url give back what they took, as Node has it', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      const buffer = Buffer.from(bytes)
      assert.equal(toHex(bytes), buffer.toString('hex'))
      assert.equal(toBase64(bytes), buffer.toString('base64'))
      assert.equal(toBase64Url(bytes), buffer.toString('base64url'))
      assert.ok(equalBytes(fromHex(toHex(bytes)), bytes))
      assert.ok(equalBytes(fromBase64(toBase64(bytes)), bytes))
      assert.ok(equalBytes(fromBase64Url(toBase64Url(bytes)), bytes))
    }),
  )
})

test('fromHex() and fromBase64() refuse every other text', () => {
  for (const text of ['0', '0g', ' 00', '0x00', '00\n'])
    assert.throws(() => fromHex(text), FormatError)
  for (const text of ['A', 'AA', 'AAA', 'AB==', 'AAB=', 'A===', 'AA=A', 'AAA\n', '-_-_', 'A A='])
    assert.throws(() => fromBase64(text), FormatError, text)
  for (const text of ['A', 'AB', 'AA==', '+/+/', 'AAAA\n'])
    assert.throws(() => fromBase64Url(text), FormatError, text)
})

test('ByteReader refuses to read past the end and to leave bytes', () => {
  const reader = new ByteReader('test', Uint8Array.of(1, 2, 3))
  assert.equal(reader.u16le('a'), 0x0201)
  assert.throws(() => reader.u32le('b'), FormatError)
  assert.throws(() => reader.end(), FormatError)
  assert.equal(reader.u8('c'), 3)
  reader.end()
})

test('equalBytes() tells lengths and values apart', () => {
  assert.equal(equalBytes(Uint8Array.of(1), Uint8Array.of(1)), true)
  assert.equal(equalBytes(Uint8Array.of(1), Uint8Array.of(2)), false)
  assert.equal(equalBytes(Uint8Array.of(1), Uint8Array.of(1, 0)), false)
})
