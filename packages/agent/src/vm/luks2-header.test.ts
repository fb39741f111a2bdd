import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { assert as check, integer, nat, property } from 'fast-check'
import { checkLuks2Header, Luks2HeaderError } from './luks2-header.ts'
import { KEYSLOT, luks2Header, METADATA, type HeaderChange } from './testing/luks2-header.ts'

const { segments, digests } = METADATA
const segment = segments[0]

test('checkLuks2Header() takes the header of a sealed disk', () => {
  assert.deepEqual(checkLuks2Header(luks2Header()), { sequence: 3n, keyslots: ['0'] })
})

test('checkLuks2Header() takes one that cryptsetup 2.7 wrote in a guest, after another key and a recovery key', () => {
  const file = new URL('testdata/luks2-header.bin.gz', import.meta.url)
  const { keyslots } = checkLuks2Header(gunzipSync(readFileSync(file)))
  assert.deepEqual(keyslots.toSorted(), ['1', '2'])
})

const withSegment = (change: object) => ({
  metadata: { ...METADATA, segments: { '0': { ...segment, ...change } } },
})
const withSlots = (keyslots: Readonly<Record<string, object>>) => ({
  metadata: {
    ...METADATA,
    keyslots,
    digests: { '0': { ...digests[0], keyslots: Object.keys(keyslots) } },
  },
})
const onSecondary = (work: (copy: Buffer) => void): HeaderChange => ({
  binary: (copy, which) => {
    if (which === 'secondary') work(copy)
  },
})

/** What a host, or whoever had the disk, could write instead. */
const HOSTILE: Readonly<Record<string, HeaderChange>> = {
  'no encryption at all': withSegment({ encryption: 'cipher_null-ecb' }),
  'another cipher': withSegment({ encryption: 'aes-cbc-plain' }),
  'no integrity': {
    metadata: {
      ...METADATA,
      segments: { '0': { ...segment, integrity: undefined } },
    },
  },
  'weak integrity': withSegment({ integrity: { ...segment.integrity, type: 'crc32c' } }),
  'another place': withSegment({ offset: '4096' }),
  'another size': withSegment({ size: '1048576' }),
  'another sector size': withSegment({ sector_size: 512 }),
  'a linear segment': withSegment({ type: 'linear' }),
  'a second segment': { metadata: { ...METADATA, segments: { '0': segment, '1': segment } } },
  'a token': { metadata: { ...METADATA, tokens: { '0': { type: 'systemd-tpm2', keyslots: [] } } } },
  'no key slot': withSlots({}),
  'an unknown key slot': withSlots({ '0': KEYSLOT, '7': KEYSLOT }),
  'a key slot that no digest knows': {
    metadata: { ...METADATA, keyslots: { '0': KEYSLOT, '1': KEYSLOT } },
  },
  'a key slot with a null cipher': withSlots({
    '0': { ...KEYSLOT, area: { ...KEYSLOT.area, encryption: 'cipher_null-ecb' } },
  }),
  'a key slot that reaches into the data': withSlots({
    '0': { ...KEYSLOT, area: { ...KEYSLOT.area, size: '99999999' } },
  }),
  'a key slot before its area': withSlots({
    '0': { ...KEYSLOT, area: { ...KEYSLOT.area, offset: '0' } },
  }),
  'a key slot for a shorter key': withSlots({ '0': { ...KEYSLOT, key_size: 32 } }),
  'a key derivation that takes for ever': withSlots({
    '0': { ...KEYSLOT, kdf: { ...KEYSLOT.kdf, iterations: 4_000_000_000 } },
  }),
  'a running encryption anew': {
    metadata: { ...METADATA, config: { ...METADATA.config, requirements: ['online-reencrypt'] } },
  },
  'an unknown member': { metadata: { ...METADATA, hook: {} } },
  'no JSON': { json: Buffer.from('{"keyslots"') },
  'JSON that is no UTF-8': { json: Buffer.from([0x7b, 0xff, 0x7d]) },
  'a JSON area without an end': { json: Buffer.alloc(12288, 0x20) },
  'another version': { binary: (copy) => copy.writeUInt16BE(1, 6) },
  'another size of the header': { binary: (copy) => copy.writeBigUInt64BE(1n << 40n, 8) },
  'another checksum': { binary: (copy) => copy.write('sha512', 0x48) },
  'another offset': { binary: (copy) => copy.writeBigUInt64BE(512n, 0x100) },
  'a second copy of another age': onSecondary((copy) => copy.writeBigUInt64BE(9n, 16)),
  'a second copy that says otherwise': onSecondary((copy) => copy.write('aes-cbc', 0x1200)),
  'no second copy': onSecondary((copy) => copy.fill(0)),
}

for (const [name, change] of Object.entries(HOSTILE))
  test(`checkLuks2Header() refuses ${name}`, () => {
    assert.throws(() => checkLuks2Header(luks2Header(change)), Luks2HeaderError)
  })

test('checkLuks2Header() refuses a header cut short anywhere, and any changed byte of both copies', () => {
  const header = luks2Header()
  check(
    property(nat(2 * 16384 - 1), (length) => {
      assert.throws(() => checkLuks2Header(header.subarray(0, length)), Luks2HeaderError)
    }),
  )
  check(
    property(nat(2 * 16384 - 1), integer({ min: 1, max: 255 }), (position, change) => {
      const changed = Buffer.from(header)
      changed[position]! ^= change
      // The checksum field is 64 bytes long, of which SHA-256 fills 32.
      const inPadding = position % 16384 >= 0x1e0 && position % 16384 < 0x200
      if (!inPadding) assert.throws(() => checkLuks2Header(changed), Luks2HeaderError)
    }),
  )
})
