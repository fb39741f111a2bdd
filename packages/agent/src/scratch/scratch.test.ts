import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { isCode } from '@cloister/protocol/testing'
import { DEFAULT_SCRATCH_MIB, scratchBlocks } from '@cloister/protocol/scratch-space'
import { encodeScratchTemplate } from '@cloister/protocol/scratch-template'
import type { RunOptions, RunProgram } from '../guest/program.ts'
import { formatStep } from './format-step.ts'
import { makeScratch } from './scratch.ts'

const MIB = 2 ** 20
const BLOCKS = scratchBlocks(DEFAULT_SCRATCH_MIB * MIB)
const RUNS = [
  { first: 0, count: 2 },
  { first: 40, count: 1 },
]
const CONTENTS = Buffer.concat(['a', 'b', 'c'].map((letter) => Buffer.alloc(4096, letter)))
// What tells a superblock of ext4 with a checksum.
CONTENTS.writeUInt16LE(0xef53, 1024 + 0x38)
CONTENTS.writeUInt8(1, 1024 + 0x175)
const HASH_SEED = { start: 1024 + 0xec, end: 1024 + 0xfc }

/** Makes scratch space with a program that is only recorded. */
async function made(t: TestContext, { mib = DEFAULT_SCRATCH_MIB, status = 0 } = {}) {
  const directory = await mkdtemp(join(tmpdir(), 'cloister-scratch-'))
  t.after(() => rm(directory, { recursive: true }))
  const template = join(directory, 'template')
  await writeFile(template, encodeScratchTemplate({ blocks: BLOCKS, runs: RUNS }, CONTENTS))
  const calls: {
    script: string
    settings: RunOptions['settings']
    tables: string
    contents: Buffer
  }[] = []
  const kept: Uint8Array[] = []
  const run: RunProgram = async (command, _, { settings, pipes = [] } = {}) => {
    const [tables, contents] = pipes as [Buffer, Buffer]
    calls.push({ script: command.at(-1)!, settings, tables: tables.toString(), contents })
    kept.push(tables)
    return { status, said: 'words' }
  }
  const device = '/dev/vdc'
  const mountPoint = join(directory, 'mount')
  const options = { device, mountPoint, template, run, diskBytes: () => mib * MIB }
  const done = makeScratch(options).finally(() =>
    assert.ok(kept.every((bytes) => bytes.every((byte) => byte === 0))),
  )
  return { calls, options, done }
}

test('on a disk of the default size the template is written, and nothing formats', async (t) => {
  const { calls, options, done } = await made(t)
  await done
  const [{ script, settings }] = calls as [(typeof calls)[0]]
  const { device, mountPoint: mount } = options
  assert.deepEqual(settings, { device, mount })
  assert.match(script, / seek=0 bs=4096 count=2 .*<&4 && dd .* seek=40 bs=4096 count=1 .*<&4/)
  assert.doesNotMatch(script, /mkfs/)
})

test('on a disk of another size the file system is made there', async (t) => {
  const { calls, done } = await made(t, { mib: 256 })
  await done
  const [{ script }] = calls as [(typeof calls)[0]]
  const blocks = scratchBlocks(256 * MIB)
  assert.match(script, /bs=1048576 count=3 /)
  assert.ok(script.includes(`seek=${blocks - 32} count=32`))
  assert.match(script, /mkfs\.ext4 .* \/dev\/mapper\/cloister-scratch/)
  assert.doesNotMatch(script, /template/)
})

test('both mappings come by a pipe, the key is new, and afterwards nothing keeps it', async (t) => {
  const length = BLOCKS * 8
  const table = new RegExp(
    String.raw`^cloister-scratch-tags,,1,rw,0 ${length} integrity /dev/vdc 0 32 D 3 journal_sectors:1 block_size:4096 fix_padding;` +
      String.raw`cloister-scratch,,,rw,0 ${length} crypt capi:authenc\(hmac\(sha256\)\\,xts\(aes\)\)-plain64 ([0-9a-f]{192}) 0 /dev/dm-1 0 2 integrity:32:aead sector_size:4096$`,
  )
  const keys = new Set<string>()
  for (let round = 0; round < 2; round++) {
    const { calls, done } = await made(t)
    await done
    const key = table.exec(calls[0]!.tables)?.[1] ?? ''
    assert.equal(key.length, 192)
    assert.ok(!JSON.stringify({ ...calls[0], tables: '' }).includes(key))
    keys.add(key)
  }
  assert.equal(keys.size, 2)
})

test('a step that fails, a disk that is too small and a damaged template end it', async (t) => {
  const failed = await made(t, { status: 1 })
  await assert.rejects(failed.done, isCode('agent.scratch-failed'))
  const small = await made(t, { mib: 2 })
  await assert.rejects(small.done, isCode('agent.scratch-failed'))
  assert.equal(small.calls.length, 0)
  const { options, done } = await made(t)
  await done
  await writeFile(options.template, 'no numbers')
  await assert.rejects(makeScratch(options), isCode('agent.scratch-failed'))
  await rm(options.template)
  await assert.rejects(makeScratch(options), isCode('agent.scratch-failed'))
})

test('the seed of directory hashes is new in each boot, and nothing else of the template but a checksum', async (t) => {
  const seeds = new Set<string>()
  for (let round = 0; round < 2; round++) {
    const { calls, done } = await made(t)
    await done
    const { contents } = calls[0]!
    seeds.add(contents.toString('hex', HASH_SEED.start, HASH_SEED.end))
    assert.ok(contents.subarray(0, HASH_SEED.start).equals(CONTENTS.subarray(0, HASH_SEED.start)))
    assert.ok(contents.subarray(HASH_SEED.end, 2044).equals(CONTENTS.subarray(HASH_SEED.end, 2044)))
    assert.ok(contents.subarray(2048).equals(CONTENTS.subarray(2048)))
  }
  assert.equal(seeds.size, 2)
})

test('the steps put each run of the template in its place', async (t) => {
  const { calls, options, done } = await made(t)
  await done
  const disk = `${options.template}-disk`
  await writeFile(disk, Buffer.alloc(41 * 4096, '.'))
  const script = formatStep(BLOCKS, { blocks: BLOCKS, runs: RUNS }, disk)
  const { contents: input } = calls[0]!
  assert.equal(spawnSync('sh', ['-c', `exec 4<&0 && ${script}`], { input }).status, 0)
  const written = await readFile(disk)
  assert.ok(written.subarray(0, 2 * 4096).equals(input.subarray(0, 2 * 4096)))
  assert.ok(written.subarray(2 * 4096, 40 * 4096).equals(Buffer.alloc(38 * 4096, '.')))
  assert.ok(written.subarray(40 * 4096).equals(CONTENTS.subarray(2 * 4096)))
})
