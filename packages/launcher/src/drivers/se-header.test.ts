import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seImage } from '../testing/measured-files.ts'
import { parseSeHeader } from './se-header.ts'

/** The image with one change. */
function changed(change: (image: Buffer) => void): Uint8Array {
  const image = Buffer.from(seImage())
  change(image)
  return image
}

test('parseSeHeader() reads digests and tag', () => {
  assert.equal(parseSeHeader(seImage())?.tag.length, 16)
})

const WRONG: Readonly<Record<string, Uint8Array>> = {
  nothing: new Uint8Array(),
  'no metadata': changed((image) => image.fill(0, 0xc000, 0xc008)),
  'metadata of another version': changed((image) => image.writeUInt32BE(2, 0xc010)),
  'a header outside of the file': changed((image) => image.writeBigUInt64BE(1n << 63n, 0xc008)),
  'a header cut short': seImage().subarray(0, 0xd100),
  'no header': changed((image) => image.fill(0, 0xd000, 0xd008)),
  'a header of another version': changed((image) => image.writeUInt32BE(0x200, 0xd008)),
  'a header that is too small': changed((image) => image.writeUInt32BE(100, 0xd00c)),
  'a header that is too large': changed((image) => image.writeUInt32BE(8193, 0xd00c)),
}
for (const [name, image] of Object.entries(WRONG))
  test(`parseSeHeader() finds none in ${name}`, () => {
    assert.equal(parseSeHeader(image), undefined)
  })
