import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import { encodeLogKey, logKey, openCheckpoint, parseLogKey, signCheckpoint } from './checkpoint.ts'
import {
  completeHash,
  consistencyRanges,
  inclusionRanges,
  isConsistent,
  isIncluded,
  joinSubtrees,
  leafHash,
  subtreesOf,
  type LeafRange,
} from './merkle.ts'
import {
  decodeBundle,
  encodeBundle,
  hashInTile,
  parseTilePath,
  placeInTile,
  tilePath,
} from './tiles.ts'

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const rangeHash = (leaves: readonly Uint8Array[], range: LeafRange) =>
  joinSubtrees(
    subtreesOf(range).map(({ level, index }) =>
      completeHash(Buffer.concat(leaves.slice(index * 2 ** level, (index + 1) * 2 ** level))),
    ),
  )
const rootOf = (leaves: readonly Uint8Array[], size: number) =>
  rangeHash(leaves, { from: 0, to: size })

test('roots are those of the vectors of Certificate Transparency', () => {
  const inputs = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657']
  const leaves = [...inputs, '606162636465666768696a6b6c6d6e6f'].map((text) =>
    leafHash(Buffer.from(text, 'hex')),
  )
  const roots = [
    'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
    '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
    'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
    'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
    'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
    '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
    '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
    'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
    '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
  ]
  for (const [size, root] of roots.entries()) assert.equal(hex(rootOf(leaves, size)), root)
})

test('proofs hold for every place and size, and for no other leaf, root or order', () => {
  const leaves = Array.from({ length: 21 }, (_, index) => leafHash(`entry ${index}`))
  const other = leafHash('another')
  for (let size = 1; size <= leaves.length; size++) {
    const root = rootOf(leaves, size)
    for (let index = 0; index < size; index++) {
      const leaf = leaves[index]!
      const path = inclusionRanges(index, size).map((range) => rangeHash(leaves, range))
      const proof = { index, size, leaf, path, root }
      assert.equal(isIncluded(proof), true)
      assert.equal(isIncluded({ ...proof, leaf: other }), false)
      assert.equal(isIncluded({ ...proof, root: other }), false)
      assert.equal(isIncluded({ ...proof, index: size }), false)
      assert.equal(isIncluded({ ...proof, path: [...path, other] }), false)
      for (const at of path.keys())
        assert.equal(isIncluded({ ...proof, path: path.with(at, other) }), false)
    }
    for (let older = 0; older <= size; older++) {
      const before = { size: older, root: rootOf(leaves, older) }
      const now = { size, root }
      const ranges = older > 0 && older < size ? consistencyRanges(older, size) : []
      const path = ranges.map((range) => rangeHash(leaves, range))
      assert.equal(isConsistent(before, now, path), true, `${older} ${size}`)
      assert.equal(isConsistent({ ...before, root: other }, now, path), false)
      if (older > 0) assert.equal(isConsistent(before, { ...now, root: other }, path), false)
      assert.equal(isConsistent(before, now, [...path, other]), false)
      for (const at of path.keys())
        assert.equal(isConsistent(before, now, path.with(at, other)), false)
    }
  }
  assert.equal(isConsistent({ size: 2, root: other }, { size: 1, root: other }, []), false)
})

test('tiles are named as C2SP tlog-tiles names them, in one way only', () => {
  const names = {
    '0/000': { level: 0, number: 0, width: 256 },
    '1/x001/x234/067': { level: 1, number: 1_234_067, width: 256 },
    '0/x273/112.p/17': { level: 0, number: 273_112, width: 17 },
    'entries/005.p/255': { level: 'entries', number: 5, width: 255 },
  } as const
  for (const [path, name] of Object.entries(names)) {
    assert.equal(tilePath(name), path)
    assert.deepEqual(parseTilePath(path), name)
  }
  for (const path of [
    '0/0',
    '0/x000/001',
    '6/000',
    '0/000.p/256',
    '0/000.p/0',
    '0/000.p/01',
    '-1/000',
    '0/x1/000',
    '0/../000',
    'data/000',
    '',
  ])
    assert.equal(parseTilePath(path), undefined, path)
})

test('a subtree is found in the tile that C2SP has it in', () => {
  assert.deepEqual(placeInTile({ level: 0, index: 300 }, 700), {
    tile: { level: 0, number: 1, width: 256 },
    first: 44,
    count: 1,
  })
  assert.deepEqual(placeInTile({ level: 9, index: 0 }, 700), {
    tile: { level: 1, number: 0, width: 2 },
    first: 0,
    count: 2,
  })
  const leaves = [0, 1, 2, 3].map((n) => leafHash(`${n}`))
  assert.deepEqual(
    hashInTile(Buffer.concat(leaves), { first: 2, count: 2 }),
    rangeHash(leaves, { from: 2, to: 4 }),
  )
})

test('bundles give back their entries, and end with one', () => {
  const entries = [Buffer.from('a'), Buffer.alloc(0), Buffer.alloc(65_535, 7)]
  const bundle = encodeBundle(entries)
  assert.deepEqual(
    decodeBundle(bundle)?.map((entry) => Buffer.from(entry)),
    entries,
  )
  assert.equal(decodeBundle(bundle.subarray(0, -1)), undefined)
  assert.equal(decodeBundle(Buffer.of(0)), undefined)
  assert.throws(() => encodeBundle([Buffer.alloc(65_536)]), RangeError)
})

test('keys have the form of signed notes', () => {
  // Of the documentation of Go's note package.
  const text = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW'
  const known = parseLogKey(text)
  assert.equal(known && encodeLogKey(known), text)
  for (const bad of [
    text.replace('c74f20a3', 'c74f20a4'),
    text.replace('Peter', 'Pater'),
    'x',
    `${text}A`,
  ])
    assert.equal(parseLogKey(bad), undefined)
})

test('a checkpoint opens with its own key alone, whatever others signed it too', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const log = logKey('example/log', publicKey)
  const head = { size: 7, root: Buffer.from(leafHash('x')) }
  const note = signCheckpoint('example/log', head, privateKey)
  const root = head.root.toString('base64')
  assert.match(note, /^example\/log\n7\n[^\n]{44}\n\n— example\/log [^\n]+\n$/)
  assert.deepEqual(openCheckpoint(note, log), head)
  assert.deepEqual(openCheckpoint(`${note}— witness AAAAAAAA\n`, log), head)
  const stranger = generateKeyPairSync('ed25519')
  for (const bad of [
    '',
    note.slice(0, -1),
    note.replace('\n7\n', '\n8\n'),
    note.replace(root, Buffer.alloc(32).toString('base64')),
    note.replaceAll('example/log', 'example/gol'),
    signCheckpoint('example/log', head, stranger.privateKey),
    signCheckpoint('another/log', head, privateKey),
    signCheckpoint('example/log', { size: 1.5, root: head.root }, privateKey),
    signCheckpoint('example/log', { size: 7, root: head.root.subarray(1) }, privateKey),
  ])
    assert.equal(openCheckpoint(bad, log), undefined)
})
