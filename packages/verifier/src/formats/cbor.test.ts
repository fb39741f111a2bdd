import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FormatError } from '../bytes/format-error.ts'
import { fromHex, toHex } from '../bytes/hex.ts'
import { encodeCbor } from './cbor-item.ts'
import { parseCbor } from './cbor-reader.ts'
import { coseHeader, coseSignedBytes, encodeCoseSign1, parseCoseSign1 } from './cose-sign1.ts'
import { keyFromCose, keyFromPoint } from './ec-point.ts'

// RFC 8949 appendix A, as far as our subset goes; then negative numbers at the edges.
const GOOD = [
  '00',
  '17',
  '1818',
  '1903e8',
  '1a000f4240',
  '1b000000e8d4a51000',
  '1bffffffffffffffff',
  '3bffffffffffffffff',
  '20',
  '3863',
  'c11a514b67b0',
  'd818456449455446',
  '40',
  '4401020304',
  '60',
  '62c3bc',
  '80',
  '8301820203820405',
  'a0',
  'a201020304',
  'a26161016162820203',
  'f4',
  'f5',
  'f6',
  'f7',
  '9fff',
  '9f018202039f0405ffff',
  'bf61610161629f0203ffff',
]

test('parseCbor() reads what encodes back to the same bytes', () => {
  for (const hex of GOOD) assert.equal(toHex(encodeCbor(parseCbor('test', fromHex(hex)))), hex)
})

test('parseCbor() refuses every truncation and every trailing byte', () => {
  for (const hex of GOOD) {
    const bytes = fromHex(`${hex}00`)
    assert.throws(() => parseCbor('test', bytes), FormatError, hex)
    for (let length = 0; length < bytes.length - 1; length++)
      assert.throws(() => parseCbor('test', bytes.subarray(0, length)), FormatError, hex)
  }
})

test('parseCbor() refuses what our formats never write', () => {
  for (const [what, hex] of [
    ['number in too long a form', '1817'],
    ['length in too long a form', '5900010a'],
    ['reserved argument', '1c'],
    ['half float', 'f93c00'],
    ['double', 'fb3ff199999999999a'],
    ['simple value in two bytes', 'f8ff'],
    ['byte string of indefinite length', '5f42010243030405ff'],
    ['text of indefinite length', '7f657374726561646d696e67ff'],
    ['integer of indefinite length', '1f'],
    ['lone break', 'ff'],
    ['break after a key', 'bf01ff'],
    ['duplicate key', 'a201020103'],
    ['duplicate text key', 'a2616101616102'],
    ['key of bytes', 'a1410102'],
    ['key of an array', 'a18002'],
    ['not UTF-8', '61ff'],
    ['length of 2^63', '5b8000000000000000'],
    ['count of 2^64', '9bffffffffffffffff'],
    ['tag of 2^64', 'dbffffffffffffffff00'],
    ['nested too deep', `${'81'.repeat(40)}00`],
    ['tags nested too deep', `${'c1'.repeat(100_000)}00`],
    ['too many items', `9a000f4240${'00'.repeat(1_000_000)}`],
  ] as const)
    assert.throws(() => parseCbor('test', fromHex(hex)), FormatError, what)
})

test('parseCoseSign1() reads tagged and bare messages alike', () => {
  for (const tagged of [true, false]) {
    const message = {
      tagged,
      protectedBytes: coseHeader(-35),
      algorithm: -35,
      unprotected: new Map(),
      payload: Uint8Array.of(1),
      signature: Uint8Array.of(2),
    }
    assert.deepEqual(parseCoseSign1(encodeCoseSign1(message)), message)
    assert.equal(toHex(coseSignedBytes(message)), '846a5369676e61747572653144a1013822404101')
  }
})

test('parseCoseSign1() refuses other shapes', () => {
  for (const [what, hex] of [
    ['another tag', 'd18444a1013822a041014102'],
    ['array of three', '8344a1013822a04101'],
    ['array of indefinite length', '9f44a1013822a041014102ff'],
    ['no algorithm', '8441a0a041014102'],
    ['algorithm as text', '8444a1016161a041014102'],
    ['critical parameters', '8446a2013822020180a041014102'],
    ['header no bytes', '84a1013822a041014102'],
    ['detached payload', '8444a1013822a0f64102'],
    ['signature no bytes', '8444a1013822a0410102'],
    ['unprotected of indefinite length', '8444a1013822bfff41014102'],
    ['unprotected no map', '8444a101382280410141024102'],
  ] as const)
    assert.throws(() => parseCoseSign1(fromHex(hex)), FormatError, what)
})

test('keys from points and from COSE_Key are the same', () => {
  const [x, y] = ['11'.repeat(48), '22'.repeat(48)]
  const cose = keyFromCose(fromHex(`a401022002215830${x}225830${y}`))
  assert.deepEqual(cose, keyFromPoint(fromHex(`04${x}${y}`)))
  assert.equal(cose.curve, 'P-384')
  for (const hex of [
    `a401022001215830${x}225830${y}`,
    `a401012002215830${x}225830${y}`,
    `a3010220022158${x}`,
    `a501022002215830${x}225830${y}0301`,
  ])
    assert.throws(() => keyFromCose(fromHex(hex)), FormatError)
  for (const hex of [`02${x}`, `03${x}${y}`, '04', ''])
    assert.throws(() => keyFromPoint(fromHex(hex)), FormatError)
})
