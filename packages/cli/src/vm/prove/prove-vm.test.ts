import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { promisify } from 'node:util'
import { isCode } from '@cloister/protocol/testing'
import type { MemoryDump, VmTee, VmView } from '@cloister/protocol/hostd-vm-api'
import { canaryPieces, plantScript, removeScript, revealScript } from './canary.ts'
import { proveVm } from './prove-vm.ts'
import { searchFile } from './search-file.ts'

const run = promisify(execFile)
const SEED = 'ab'.repeat(32)
const MIB = 1 << 20
const SIGNAL = AbortSignal.timeout(60_000)

async function temporary(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'cloister-prove-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}

test('guest and owner make the same canary, and the guest leaves nothing', async (t) => {
  const folder = await temporary(t)
  const places = { folder: join(folder, 'ram'), diskFile: join(folder, 'disk') }
  const show = `cat ${places.folder}/canary; echo; cat ${places.diskFile}; echo`
  // One shell, as over ssh: what it made goes with it.
  const script = `${plantScript(places)}\n${show}\n${revealScript(places)}`
  const { stdout } = await run('sh', ['-c', script])
  const [planted, memory, disk, seed = ''] = stdout.split('\n')
  assert.equal(planted, 'planted')
  assert.match(seed, /^[0-9a-f]{64}$/)
  assert.equal(memory, Buffer.concat(canaryPieces('memory', seed)).toString())
  assert.equal(disk, Buffer.concat(canaryPieces('disk', seed)).toString())
  assert.equal(existsSync(places.folder) || existsSync(places.diskFile), false)
  // A session that ends too early leaves nothing either.
  await run('sh', ['-c', plantScript(places)])
  assert.equal(existsSync(places.folder) || existsSync(places.diskFile), false)
  await run('sh', ['-c', removeScript(places)])
})

test('searchFile() finds each piece once, over the borders of what it reads at once', async (t) => {
  const file = join(await temporary(t), 'file')
  const pieces = canaryPieces('memory', SEED)
  const bytes = Buffer.alloc(17 * MIB)
  const at = [0, 8 * MIB - 63, 8 * MIB + 64, 16 * MIB - 1, 17 * MIB - 64]
  for (const [index, offset] of at.entries()) bytes.set(pieces[index]!, offset)
  await writeFile(file, bytes)
  const found = await searchFile(file, pieces)
  assert.deepEqual(
    found,
    at.map((offset, piece) => ({ offset, piece })),
  )
  assert.deepEqual(await searchFile(file, canaryPieces('disk', SEED)), [])
})

/** A host that reads RAM in two ranges, of a guest that does as it is told. */
async function host(t: TestContext, { tee = 'none', seesMemory = true, seesDisk = true } = {}) {
  const folder = await temporary(t)
  const dumps = join(folder, 'dumps')
  await mkdir(dumps)
  const file = join(dumps, 'x.ram')
  const ram = Buffer.alloc(2 * MIB)
  if (seesMemory) ram.set(Buffer.concat(canaryPieces('memory', SEED)), MIB + 4096)
  const disk = seesDisk ? Buffer.concat(canaryPieces('disk', SEED)) : Buffer.alloc(1024)
  await writeFile(join(folder, 'disk.qcow2'), disk)
  const range = { bytes: MIB, isReadable: true, isBlank: false }
  const dump: MemoryDump = {
    file,
    ranges: [
      { start: '0x0', ...range },
      { start: '0x100000000', ...range },
    ],
  }
  const said: string[] = []
  const options = {
    view: { tee: tee as VmTee } as VmView,
    runInGuest: async (script: string) => {
      said.push(script)
      if (script === plantScript()) return 'planted\n'
      return script === revealScript() ? SEED : ''
    },
    dumpMemory: async () => {
      await writeFile(file, ram)
      return dump
    },
    folder,
    dumps,
    onStep: () => undefined,
    signal: SIGNAL,
  }
  return { options, file, said }
}

test('proveVm() says where the canary was, and removes the dump', async (t) => {
  const { options, file } = await host(t)
  const proof = await proveVm(options)
  assert.equal(proof.memory.found, 16)
  assert.deepEqual(
    proof.memory.ranges.map(({ start, found }) => [start, found]),
    [
      ['0x0', 0],
      ['0x100000000', 16],
    ],
  )
  assert.equal(proof.disk.found, 16)
  assert.equal(existsSync(file), false)
})

test('the meaning follows the TEE, and is never more than what was seen', async (t) => {
  const meaning = async (given: Parameters<typeof host>[1]) =>
    (await proveVm((await host(t, given)).options)).meaning
  assert.match(await meaning({ tee: 'simulated' }), /simulated and encrypts nothing/)
  assert.match(await meaning({ tee: 'snp' }), /not protected as it should be/)
  assert.match(await meaning({ tee: 'snp', seesMemory: false }), /does not hold what the guest/)
  assert.match(await meaning({ seesMemory: false }), /nothing protects this memory/)
  assert.match(await meaning({ seesDisk: false }), /not on the disk in clear/)
  for (const tee of ['none', 'snp'])
    assert.match(await meaning({ tee, seesMemory: false }), /not evidence\.$/)
})

test('whatever fails, guest and host are left clean, and no other file is removed', async (t) => {
  const { options, file, said } = await host(t)
  const mute = async (script: string) =>
    script === revealScript() ? 'no seed' : options.runInGuest(script)
  await assert.rejects(proveVm({ ...options, runInGuest: mute }), isCode('vm.prove-failed'))
  assert.equal(existsSync(file), false)
  assert.equal(said.at(-1), removeScript())
  const elsewhere = { ...options, dumps: join(options.folder, 'elsewhere') }
  await assert.rejects(proveVm(elsewhere), isCode('vm.prove-failed'))
  assert.equal(existsSync(file), true)
})
