import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { constants, gzipSync, zstdCompressSync } from 'node:zlib'
import { array, assert as assertProperty, asyncProperty, integer } from 'fast-check'
import { decompress } from './decompress.ts'
import type { Compression } from './media-types.ts'

const A = Buffer.alloc(1000, 'a')
const B = Buffer.from('b'.repeat(70_000))
const MALFORMED = { code: 'image.layer-malformed' }
/** Of a gzip member that is called "n". */
const NAMED_HEADER = Buffer.from('1f8b08080000000000036e00', 'hex')
const SKIPPABLE = Buffer.from('5a2a4d1805000000', 'hex')

test('gzip members and zstd frames are joined wherever the chunks end', async () => {
  const skippable = Buffer.concat([SKIPPABLE, Buffer.from('hello')])
  const checked = zstdCompressSync(B, { params: { [constants.ZSTD_c_checksumFlag]: 1 } })
  const cases: readonly (readonly [Compression, Buffer])[] = [
    ['none', Buffer.concat([A, B])],
    ['gzip', Buffer.concat([gzipSync(A), gzipSync(B)])],
    ['zstd', Buffer.concat([zstdCompressSync(A), checked])],
    [
      'zstd',
      Buffer.concat([skippable, zstdCompressSync(A), skippable, skippable, checked, skippable]),
    ],
  ]
  for (const [compression, bytes] of cases)
    await assertProperty(
      asyncProperty(array(integer({ min: 1, max: 9000 }), { minLength: 1 }), async (sizes) => {
        assert.deepEqual(await collect(bytes, compression, sizes), Buffer.concat([A, B]))
      }),
      { numRuns: 15, examples: [[[1]], [[1 << 20]]] },
    )
})

test('layers of many chunks come out whole, though each chunk is gone after its turn', async () => {
  const noise = randomBytes(1 << 20)
  const bytes = Buffer.concat([noise, Buffer.alloc(3 << 20, 'text '), noise, A])
  for (const sizes of [[1000], [65_536], [1 << 20, 7]]) {
    assert.ok((await collect(gzipSync(bytes, { level: 1 }), 'gzip', sizes)).equals(bytes))
    assert.ok((await collect(zstdCompressSync(bytes), 'zstd', sizes)).equals(bytes))
  }
})

test('a reader that stops early stops the input', async () => {
  const stopped = Promise.withResolvers<void>()
  async function* endless(): AsyncGenerator<Uint8Array> {
    const layer = gzipSync(randomBytes(2 << 20), { level: 1 })
    try {
      for (;;) yield layer
    } finally {
      stopped.resolve()
    }
  }
  for await (const _ of decompress(endless(), 'gzip')) break
  await stopped.promise
})

test('broken compression is refused', async () => {
  const gzip = gzipSync(B)
  const zstd = zstdCompressSync(B)
  const broken: readonly (readonly [Compression, Buffer])[] = [
    ['gzip', gzip.subarray(0, -5)],
    ['gzip', A],
    ['gzip', flip(gzip, gzip.length - 3)],
    ['gzip', Buffer.concat([gzip, Buffer.alloc(512)])],
    ['gzip', Buffer.concat([NAMED_HEADER, gzip.subarray(10), Buffer.alloc(512)])],
    ['gzip', Buffer.alloc(0)],
    ['zstd', zstd.subarray(0, -2)],
    ['zstd', A],
    ['zstd', Buffer.concat([zstd, A])],
    ['zstd', Buffer.concat([zstd, Buffer.alloc(2)])],
    ['zstd', Buffer.concat([zstd, SKIPPABLE])],
    ['zstd', Buffer.concat([zstd, SKIPPABLE.subarray(0, 6)])],
  ]
  for (const [compression, bytes] of broken)
    await assert.rejects(collect(bytes, compression), MALFORMED)
})

test('a zstd window that would take much memory is refused', async () => {
  // The window descriptor says 128 MiB, whatever the size of the content.
  const header = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, (27 - 10) << 3])
  const frame = Buffer.concat([header, Buffer.from([0x01, 0, 0])])
  await assert.rejects(collect(frame, 'zstd'), MALFORMED)
})

test('an error of the input comes out unchanged', async () => {
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield gzipSync(B).subarray(0, 50)
    throw new RangeError('mine')
  }
  const reading = async () => {
    for await (const chunk of decompress(failing(), 'gzip')) assert.ok(chunk.length >= 0)
  }
  await assert.rejects(reading, RangeError)
})

async function collect(
  bytes: Buffer,
  compression: Compression,
  sizes: readonly number[] = [4096],
): Promise<Buffer> {
  async function* pieces(): AsyncGenerator<Uint8Array> {
    for (let offset = 0, index = 0; offset < bytes.length; index++) {
      const size = sizes[index % sizes.length]!
      yield bytes.subarray(offset, offset + size)
      offset += size
    }
  }
  const chunks: Uint8Array[] = []
  for await (const chunk of decompress(pieces(), compression)) chunks.push(Uint8Array.from(chunk))
  return Buffer.concat(chunks)
}

function flip(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes)
  copy[at]! ^= 1
  return copy
}
