import assert from 'node:assert/strict'
import { readdirSync, statSync } from 'node:fs'
import { test } from 'node:test'
import { temporaryDirectory } from '../test/temporary-directory.ts'
import type { ImageSource } from './image-source.ts'
import { fetchInOrder } from './layer-queue.ts'
import type { Descriptor } from './manifest.ts'

const CHUNK = 1000

/** Blobs of so many chunks; counts how often each was asked for. */
function source(chunks: readonly number[]) {
  const asked = chunks.map(() => 0)
  const descriptors = chunks.map(
    (count, index) => ({ digest: String(index), size: count * CHUNK }) as Descriptor,
  )
  const blobs: Pick<ImageSource, 'blob'> = {
    async *blob({ digest, size }) {
      asked[Number(digest)]!++
      for (let n = 0; n < size / CHUNK; n++) {
        await new Promise(setImmediate)
        yield Buffer.alloc(CHUNK, `${digest}-${n} `)
      }
    },
  }
  return { asked, descriptors, source: blobs as ImageSource }
}

async function whole(blob: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = []
  for await (const chunk of blob) parts.push(chunk)
  return Buffer.concat(parts).toString()
}

test('fetchInOrder() gives each blob whole, whatever was spooled of it when its turn came', async (t) => {
  for (const spoolBytes of [0, 1, 2500, 1 << 20]) {
    const { source: from, descriptors, asked } = source([3, 40, 0, 7, 25])
    const spool = temporaryDirectory(t)
    const options = { concurrency: 3, spool, spoolBytes }
    let index = 0
    for await (const blob of fetchInOrder(from, descriptors, options)) {
      const expected = Array.from({ length: descriptors[index]!.size / CHUNK }, (_, n) =>
        Buffer.alloc(CHUNK, `${index}-${n} `).toString(),
      )
      assert.equal(await whole(blob), expected.join(''), `blob ${index} at ${spoolBytes}`)
      index++
    }
    assert.equal(index, 5)
    assert.deepEqual(readdirSync(spool), [])
    assert.ok(asked.every((count) => count <= 2))
  }
})

test('fetchInOrder() spools no more of a blob than it may, and no more than is ahead', async (t) => {
  const { source: from, descriptors } = source([50, 90, 90, 90])
  const spool = temporaryDirectory(t)
  const blobs = fetchInOrder(from, descriptors, { concurrency: 3, spool, spoolBytes: 5000 })
  const first = (await blobs.next()).value as AsyncIterable<Uint8Array>
  await whole(first)
  const sizes = () =>
    readdirSync(spool)
      .toSorted()
      .map((file) => [file, statSync(`${spool}/${file}`).size])
  // Ends by the test's time-out when it never comes so far.
  while (sizes().length < 2 || sizes().some(([, size]) => Number(size) < 5000))
    await new Promise(setImmediate)
  for (let turn = 0; turn < 100; turn++) await new Promise(setImmediate)
  assert.deepEqual(sizes(), [
    ['1', 5000],
    ['2', 5000],
  ])
  await blobs.return(undefined)
})

test('fetchInOrder() tells the failure of a blob when its turn comes', async (t) => {
  const { source: from, descriptors } = source([2, 2])
  const failing = {
    ...from,
    blob: (descriptor: Descriptor) =>
      descriptor.digest === '1' ? fail() : from.blob(descriptor, undefined),
  } as ImageSource
  const spool = temporaryDirectory(t)
  const read = async () => {
    for await (const blob of fetchInOrder(failing, descriptors, { concurrency: 2, spool }))
      await whole(blob)
  }
  await assert.rejects(read(), /broken off/)
})

// oxlint-disable-next-line require-yield -- it fails before it has anything to give
async function* fail(): AsyncGenerator<Uint8Array> {
  await new Promise(setImmediate)
  throw new Error('broken off')
}
