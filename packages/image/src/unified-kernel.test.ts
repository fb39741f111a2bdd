import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FormatError } from '@cloister/verifier/bytes/format-error'
import { peSections } from '@cloister/verifier/formats/pe-sections'
import { buildUnifiedKernel } from './unified-kernel.ts'

const SECTION = { table: 0x188, size: 40 } as const

/** A PE32+ image with these sections of one page each and room in its headers for as many as `headersSize` holds. */
function stub({ names = ['.text', '.sbat'], headersSize = 0x400, magic = 0x20b } = {}): Buffer {
  const image = Buffer.alloc(headersSize + names.length * 0x200)
  image.write('MZ', 'latin1')
  image.writeUInt32LE(0x80, 0x3c)
  image.write('PE\0\0', 0x80, 'latin1')
  image.writeUInt16LE(names.length, 0x86)
  image.writeUInt16LE(0xf0, 0x94)
  image.writeUInt16LE(magic, 0x98)
  image.writeUInt32LE(0x1000, 0x98 + 32)
  image.writeUInt32LE(0x200, 0x98 + 36)
  image.writeUInt32LE(headersSize, 0x98 + 60)
  for (const [index, name] of names.entries()) {
    const header = SECTION.table + index * SECTION.size
    image.write(name, header, 'latin1')
    image.writeUInt32LE(0x1f0, header + 8)
    image.writeUInt32LE(0x1000 * (index + 1), header + 12)
    image.writeUInt32LE(0x200, header + 16)
    image.writeUInt32LE(headersSize + index * 0x200, header + 20)
    image.fill(index + 1, headersSize + index * 0x200)
  }
  return image
}

const parts = {
  stub: stub(),
  kernel: Buffer.alloc(0x1801, 7),
  initrd: Buffer.alloc(0x2ff, 8),
  commandLine: 'quiet init=/x',
  release: '6.12.1',
}

test('the sections of the stub stay, and ours hold what they were given', () => {
  const image = buildUnifiedKernel(parts)
  const sections = peSections(image)
  assert.deepEqual(
    [...sections.keys()],
    ['.text', '.sbat', '.uname', '.cmdline', '.initrd', '.linux'],
  )
  assert.deepEqual(Buffer.from(sections.get('.text')!), Buffer.alloc(0x1f0, 1))
  assert.equal(Buffer.from(sections.get('.cmdline')!).toString(), parts.commandLine)
  assert.equal(Buffer.from(sections.get('.uname')!).toString(), parts.release)
  assert.deepEqual(Buffer.from(sections.get('.initrd')!), parts.initrd)
  assert.deepEqual(Buffer.from(sections.get('.linux')!), parts.kernel)
  assert.deepEqual(buildUnifiedKernel(parts), image, 'the same parts give the same bytes')
})

test('sections lie at multiples of the alignments, one behind the other, and the sizes count them', () => {
  const image = Buffer.from(buildUnifiedKernel(parts))
  let [address, offset] = [0x3000, parts.stub.length]
  for (const [index, length] of [6, 13, 0x2ff, 0x1801].entries()) {
    const header = SECTION.table + (2 + index) * SECTION.size
    assert.deepEqual(
      [8, 12, 16, 20].map((field) => image.readUInt32LE(header + field)),
      [length, address, Math.ceil(length / 0x200) * 0x200, offset],
    )
    address += Math.ceil(length / 0x1000) * 0x1000
    offset += Math.ceil(length / 0x200) * 0x200
  }
  assert.equal(image.length, offset)
  assert.equal(image.readUInt32LE(0x98 + 56), address, 'size of image')
  assert.equal(image.readUInt16LE(0x86), 6)
  // The checksum makes the sum of all words, without its own field, come out.
  let sum = 0
  for (let at = 0; at < image.length; at += 2)
    if (at !== 0xd8 && at !== 0xda)
      sum = ((sum + image.readUInt16LE(at)) & 0xffff) + ((sum + image.readUInt16LE(at)) >>> 16)
  assert.equal(image.readUInt32LE(0xd8), sum + image.length)
})

test('a stub that cannot hold them is refused', () => {
  for (const [name, wrong] of Object.entries({
    'no PE': Buffer.alloc(4096),
    'cut off': stub().subarray(0, 0x190),
    PE32: stub({ magic: 0x10b }),
    'no room': stub({ headersSize: 0x200 }),
    'a kernel of its own': stub({ names: ['.text', '.linux'] }),
  }))
    assert.throws(() => buildUnifiedKernel({ ...parts, stub: wrong }), FormatError, name)
})
