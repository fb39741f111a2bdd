import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { gunzip } from './gunzip.ts'
import { PieceReader } from './piece-reader.ts'

const FNAME = 8
const HEADER_SIZE = 10
const TEXT = Buffer.from('a layer '.repeat(40))
const MEMBER = gzipSync(TEXT)
/** Where the trailer begins. */
const DATA_END = MEMBER.length - 8
/** Long enough for the decompressor to come to its end. */
const WAIT_MS = 20
const EMPTY_MEMBER = gzipSync('')

test('members are joined wherever pieces end', async () => {
  const named = withName(MEMBER)
  const cases: readonly (readonly Buffer[])[] = [
    [MEMBER],
    [MEMBER, MEMBER],
    [named, MEMBER],
    [MEMBER, named, EMPTY_MEMBER, MEMBER],
    [EMPTY_MEMBER, MEMBER, EMPTY_MEMBER],
  ]
  for (const members of cases) {
    const bytes = Buffer.concat(members)
    const expected = Buffer.concat(
      members.filter((member) => member !== EMPTY_MEMBER).map(() => TEXT),
    )
    for (let size = 1; size <= bytes.length; size++)
      assert.deepEqual(await collect(pieces(bytes, size)), expected, `pieces of ${size} bytes`)
  }
  assert.deepEqual(await collect(pieces(EMPTY_MEMBER, 3)), Buffer.alloc(0))
})

test('a member of many chunks comes out whole, and so does what follows it', async () => {
  const noise = randomBytes(3 << 20)
  const members = Buffer.concat([gzipSync(noise, { level: 1 }), gzipSync(noise, { level: 1 })])
  for (const size of [65_536, 1 << 20, members.length])
    assert.ok((await collect(pieces(members, size))).equals(Buffer.concat([noise, noise])))
})

test('a member that is cut off anywhere is refused, as is a wrong length', async () => {
  for (let length = 0; length < MEMBER.length; length++)
    for (const before of [Buffer.alloc(0), MEMBER]) {
      if (length === 0 && before.length > 0) continue
      const bytes = Buffer.concat([before, MEMBER.subarray(0, length)])
      for (const size of [1, 7, bytes.length + 1]) await assertRefused(pieces(bytes, size))
    }
  for (let bit = 0; bit < 32; bit++)
    await assertRefused(pieces(flip(MEMBER, (MEMBER.length - 4) * 8 + bit), 1000))
})

test('the check sum of the first member is left to the diff_id, those of others are checked', async () => {
  const changed = flip(MEMBER, (MEMBER.length - 8) * 8)
  assert.deepEqual(await collect(pieces(changed, 1000)), TEXT)
  await assertRefused(pieces(Buffer.concat([MEMBER, changed]), 1000))
  await assertRefused(pieces(withName(changed), 1000))
})

test('what follows and is no member is refused, or left in the input', async () => {
  for (const size of [1, 9, 1000]) {
    for (const after of [Buffer.from('no gzip'), Buffer.alloc(30)])
      await assertRefused(pieces(Buffer.concat([MEMBER, after]), size))
    const reader = new PieceReader(
      pieces(Buffer.concat([withName(MEMBER), Buffer.alloc(30)]), size),
    )
    for await (const _ of gunzip(reader));
    assert.equal(await reader.isAtEnd(), false)
  }
})

test('an input that waits loses nothing, even after the end of the data', async () => {
  for (const length of [4, DATA_END - 1, DATA_END, DATA_END + 1, MEMBER.length]) {
    async function* waiting(): AsyncGenerator<Uint8Array> {
      yield MEMBER.subarray(0, length)
      await sleep(WAIT_MS)
      yield MEMBER.subarray(length)
      await sleep(WAIT_MS)
      yield MEMBER
      await sleep(WAIT_MS)
    }
    assert.deepEqual(await collect(waiting()), Buffer.concat([TEXT, TEXT]), `${length} bytes`)
  }
})

test('an error of the input comes out unchanged, even late and after the end of the data', async () => {
  for (const length of [4, DATA_END, DATA_END + 1, MEMBER.length])
    for (const wait of [0, WAIT_MS]) {
      async function* failing(): AsyncGenerator<Uint8Array> {
        yield MEMBER.subarray(0, length)
        if (wait > 0) await sleep(wait)
        throw new RangeError('mine')
      }
      await assert.rejects(collect(failing()), RangeError)
    }
})

async function assertRefused(input: AsyncIterable<Uint8Array>): Promise<void> {
  await assert.rejects(collect(input), (error: { code: string }) => {
    assert.match(error.code, /^(image\.layer-malformed|Z_\w+)$/)
    return true
  })
}

async function collect(input: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of gunzip(new PieceReader(input))) chunks.push(Uint8Array.from(chunk))
  return Buffer.concat(chunks)
}

async function* pieces(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < bytes.length; offset += size)
    yield bytes.subarray(offset, offset + size)
}

/** The member with a name in its header, as `gzip FILE` makes it. */
function withName(member: Buffer): Buffer {
  const header = Buffer.from(member.subarray(0, HEADER_SIZE))
  header[3] = FNAME
  return Buffer.concat([header, Buffer.from('layer.tar\0'), member.subarray(HEADER_SIZE)])
}

function flip(bytes: Buffer, bit: number): Buffer {
  const copy = Buffer.from(bytes)
  copy[bit >> 3]! ^= 1 << (bit & 7)
  return copy
}
