import assert from 'node:assert/strict'
import { test } from 'node:test'
import { array, assert as assertProperty, integer, nat, property, uint8Array } from 'fast-check'
import { paxHeader, tarFile, type TestEntry } from './testing/tar-file.ts'
import { TarReader, type TarEntry } from './tar-reader.ts'
import { encodeTarHeader, TAR_END } from './tar-writer.ts'

const MALFORMED = { code: 'image.layer-malformed' }

test('the same entries come out whatever the sizes of the chunks', () => {
  const long = `${'d'.repeat(120)}/ü`
  const archive = tarFile([
    { name: './', type: '5' },
    { name: 'a', content: 'x'.repeat(1000) },
    { name: long, content: 'long' },
    { name: 'empty' },
    { name: 'link', type: '2', linkName: 'a'.repeat(150) },
    paxHeader({ 'SCHILY.xattr.security.capability': 'x', mtime: '12.5' }),
    { name: 'capable', content: 'y'.repeat(512) },
  ])
  const whole = read([archive])
  assert.deepEqual(
    whole.map(({ name }) => name),
    ['./', 'a', long, 'empty', 'link', 'capable'],
  )
  assert.equal(whole[2]!.content, 'long')
  assert.equal(whole[4]!.linkName, 'a'.repeat(150))
  assert.deepEqual(whole[5]!.xattrs, [{ name: 'security.capability', value: Buffer.from('x') }])
  assert.equal(whole[5]!.mtime, 12.5)
  assertProperty(
    property(array(integer({ min: 1, max: 700 }), { minLength: 1 }), (sizes) => {
      assert.deepEqual(read(cut(archive, sizes)), whole)
    }),
    { numRuns: 50 },
  )
})

test("GNU's long names, base-256 numbers and a missing end mark are read", () => {
  const long = 'n'.repeat(300)
  const entry = (input: TestEntry) => tarFile([input]).subarray(0, -TAR_END.length)
  const big = entry({ name: 'cut', content: '12345' })
  big.fill(0, 108, 116)
  big.writeUInt8(0x80, 108)
  big.writeUInt32BE(3_000_000, 112)
  checksum(big)
  const [read1] = read([
    Buffer.concat([entry({ name: '././@LongLink', type: 'L', content: `${long}\0` }), big]),
  ])
  assert.equal(read1!.name, long)
  assert.equal(read1!.uid, 3_000_000)
  assert.equal(read1!.content, '12345')
})

test('damaged archives are refused', () => {
  const archive = tarFile([{ name: 'a', content: 'abc' }])
  const flipped = Buffer.from(archive)
  flipped[0]! ^= 1
  assert.throws(() => read([flipped]), MALFORMED)
  assert.throws(() => read([archive.subarray(0, 514)]), MALFORMED)
  assert.throws(() => read([archive.subarray(0, 100)]), MALFORMED)
  assert.throws(() => read([tarFile([{ name: 'd', type: '5', content: 'x' }])]), MALFORMED)
  assert.throws(() => read([tarFile([{ name: 'x', type: 'x', content: '99 a=b\n' }])]), MALFORMED)
  assert.throws(() => read([tarFile([paxHeader({ size: '-1' }), { name: 'a' }])]), MALFORMED)
  assert.throws(() => read([tarFile([paxHeader({ path: 'a\0b' }), { name: 'a' }])]), MALFORMED)
  assert.throws(
    () => read([tarFile([paxHeader({ 'GNU.sparse.major': '1' }), { name: 'a' }])]),
    MALFORMED,
  )
  const latin1 = tarFile([{ name: 'a' }])
  latin1[0] = 0xe9
  checksum(latin1)
  assert.throws(() => read([latin1]), MALFORMED)
})

test('an extension header cannot fill memory', () => {
  const header = encodeTarHeader({
    type: 'x' as '0',
    name: 'x',
    mode: 0,
    uid: 0,
    gid: 0,
    size: 2 ** 30,
    mtime: 0,
  })
  assert.throws(() => read([header]), { code: 'image.limit-exceeded' })
})

test('no bytes make the reader fail without a code', () => {
  assertProperty(
    property(uint8Array({ maxLength: 2048 }), nat(600), (noise, at) => {
      const archive = tarFile([paxHeader({ path: 'b' }), { name: 'a', content: 'abc' }])
      archive.set(noise.subarray(0, archive.length - at), at)
      try {
        read([archive])
      } catch (error) {
        assert.match((error as { code: string }).code, /^image\./)
      }
    }),
    { numRuns: 200 },
  )
})

interface ReadEntry extends TarEntry {
  content: string
}

function read(chunks: readonly Uint8Array[]): ReadEntry[] {
  const entries: ReadEntry[] = []
  const reader = new TarReader({
    entry: (entry) => entries.push({ ...entry, content: '' }),
    content: (bytes) => (entries.at(-1)!.content += Buffer.from(bytes).toString()),
    endEntry: () => undefined,
  })
  for (const chunk of chunks) reader.write(chunk)
  reader.end()
  return entries
}

function cut(bytes: Buffer, sizes: readonly number[]): Uint8Array[] {
  const chunks: Uint8Array[] = []
  for (let offset = 0, index = 0; offset < bytes.length; index++) {
    const size = sizes[index % sizes.length]!
    chunks.push(bytes.subarray(offset, offset + size))
    offset += size
  }
  return chunks
}

function checksum(block: Buffer): void {
  block.fill(0x20, 148, 156)
  const sum = block.subarray(0, 512).reduce((total, byte) => total + byte, 0)
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
}
