import assert from 'node:assert/strict'
import { linkSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { tarFile } from './testing/tar-file.ts'
import { temporaryDirectory } from '../test/temporary-directory.ts'
import { unpackOciArchive, writeOciArchive } from './archive.ts'
import { buildImage } from './build-image.ts'
import { openLayout } from './layout.ts'
import { LayoutWriter } from './layout-writer.ts'
import { pullImage } from './pull.ts'
import { parseReference } from './reference.ts'
import { resolveImage } from './resolve-image.ts'

test('an image survives directory, layout, archive and back, with the same digests each time', async (t) => {
  const place = temporaryDirectory(t)
  const long = 'd'.repeat(120)
  mkdirSync(`${place}/src/${long}`, { recursive: true })
  writeFileSync(`${place}/src/${long}/ü`, 'content', { mode: 0o755 })
  linkSync(`${place}/src/${long}/ü`, `${place}/src/z`)
  symlinkSync('nowhere', `${place}/src/link`)
  const digests: string[] = []
  const archives: Buffer[] = []
  for (const name of ['one', 'two']) {
    const sink = await LayoutWriter.open(`${place}/${name}`)
    const layers = [{ directory: `${place}/src` }]
    digests.push((await buildImage({ sink, tag: 'v1', layers, config: { Cmd: ['/z'] } })).digest)
    await writeOciArchive(sink.directory, `${place}/${name}.tar`)
    archives.push(readFileSync(`${place}/${name}.tar`))
  }
  assert.equal(digests[0], digests[1])
  assert.deepEqual(archives[0], archives[1])

  const directory = await unpackOciArchive(`${place}/one.tar`, `${place}/cache`)
  assert.equal(await unpackOciArchive(`${place}/two.tar`, `${place}/cache`), directory)
  const source = await openLayout(directory)
  const { digest } = await resolveImage(source, 'v1')
  assert.equal(digest, digests[0])
  const reference = parseReference('localhost/app')
  await pullImage({ source, reference, digest, directory: `${place}/root` })
  assert.equal(readFileSync(`${place}/root/z`, 'utf8'), 'content')
  assert.equal(readFileSync(`${place}/root/${long}/ü`, 'utf8'), 'content')
  assert.deepEqual(readdirSync(`${place}/cache`).length, 1)
})

test('an archive that is hostile, damaged or no layout leaves nothing', async (t) => {
  const place = temporaryDirectory(t)
  const unpack = (bytes: Uint8Array) => {
    writeFileSync(`${place}/bad.tar`, bytes)
    return unpackOciArchive(`${place}/bad.tar`, `${place}/cache`)
  }
  const escape = [
    { name: 'blobs', type: '2', linkName: '/tmp' },
    { name: 'blobs/x', content: 'x' },
  ]
  await assert.rejects(unpack(tarFile(escape)), { code: 'image.entry-refused' })
  await assert.rejects(unpack(tarFile([{ name: '../x' }])), { code: 'image.entry-refused' })
  await assert.rejects(unpack(Buffer.alloc(1000, 1)), { code: 'image.layer-malformed' })
  await assert.rejects(unpack(tarFile([{ name: 'x' }])), { code: 'image.not-found' })
  await assert.rejects(unpackOciArchive(`${place}/none`, place), { code: 'image.not-found' })
  assert.deepEqual(readdirSync(`${place}/cache`), [])
})

test('a layout keeps one entry a tag and finds the only image without one', async (t) => {
  const directory = `${temporaryDirectory(t)}/layout`
  const sink = await LayoutWriter.open(directory)
  const build = (tag: string, Cmd: string[]) =>
    buildImage({ sink, tag, layers: [], config: { Cmd } })
  await build('v1', ['/a'])
  const second = await build('v1', ['/b'])
  const layout = await openLayout(directory)
  assert.equal((await layout.index()).manifests.length, 1)
  assert.equal((await layout.tagged('v1'))?.digest, second.digest)
  assert.equal((await layout.tagged(''))?.digest, second.digest)
  await build('v2', ['/c'])
  assert.equal(await layout.tagged(''), undefined)
  assert.equal(await layout.tagged('v3'), undefined)
  await assert.rejects(openLayout(`${directory}/blobs`), { code: 'image.not-found' })
  assert.ok(readdirSync(directory).every((name) => !name.startsWith('.')))
})
