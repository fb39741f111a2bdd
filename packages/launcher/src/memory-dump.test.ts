import assert from 'node:assert/strict'
import { access, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { CloisterError } from '@cloister/protocol/error'
import { dumpMemory, ramRanges } from './memory-dump.ts'

const MIB = 1 << 20
const folder = await mkdtemp(join(tmpdir(), 'dump-'))
after(() => rm(folder, { recursive: true }))
const source = join(folder, 'source')
await writeFile(source, '')

/** A QEMU with this much RAM, which writes what each piece holds; absent: it cannot read it. */
function qemu(bytes: unknown, piece: (start: number) => Buffer | undefined) {
  return {
    async execute(command: string, options: Record<string, unknown> = {}) {
      if (command === 'query-memory-size-summary') return { 'base-memory': bytes }
      assert.equal(command, 'pmemsave')
      assert.equal(options['filename'], '/proc/self/fd/3')
      const content = piece(Number(options['val']))
      if (content === undefined) throw new CloisterError('qemu.refused')
      await writeFile(source, content)
      return {}
    },
  }
}

test('ramRanges() splits the RAM of a q35 around the hole below 4 GiB', () => {
  const gib = 2 ** 30
  assert.deepEqual(ramRanges(gib), [{ start: 0n, bytes: gib }])
  assert.deepEqual(ramRanges(2.75 * gib - MIB), [{ start: 0n, bytes: 2.75 * gib - MIB }])
  assert.deepEqual(ramRanges(2.75 * gib), [
    { start: 0n, bytes: 2 * gib },
    { start: 4n * BigInt(gib), bytes: 0.75 * gib },
  ])
})

test('dumpMemory() says of each range whether it was readable and whether it was blank', async () => {
  const full = Buffer.alloc(16 * MIB)
  full.write('canary', 5 * MIB)
  const target = join(folder, 'target')
  const vm = qemu(48 * MIB, (start) =>
    start === 0 ? full : start === 16 * MIB ? Buffer.alloc(16 * MIB) : undefined,
  )
  const { ranges } = await dumpMemory(vm, source, target)
  const bytes = 16 * MIB
  assert.deepEqual(ranges, [
    { start: 0n, bytes, isReadable: true, isBlank: false },
    { start: BigInt(bytes), bytes, isReadable: true, isBlank: true },
    { start: BigInt(2 * bytes), bytes, isReadable: false, isBlank: false },
  ])
  const { size, blocks, mode } = await stat(target)
  assert.deepEqual([size, mode & 0o777], [48 * MIB, 0o600])
  assert.ok(blocks * 512 < MIB)
  assert.equal((await readFile(target)).toString('latin1', 5 * MIB, 5 * MIB + 6), 'canary')
  assert.equal((await stat(source)).size, 0)
  await assert.rejects(dumpMemory(vm, source, target), { code: 'vm.dump-target-taken' })
})

test('dumpMemory() fails with a code and leaves nothing', async () => {
  const target = join(folder, 'failed')
  const blank = () => Buffer.alloc(16 * MIB)
  await assert.rejects(dumpMemory(qemu('much', blank), source, target), { code: 'qemu.protocol' })
  // More than any disk has: not even begun.
  const begun = () => assert.fail('a piece was asked for')
  await assert.rejects(dumpMemory(qemu(2 ** 52, begun), source, target), {
    code: 'host.disk-full',
  })
  const signal = AbortSignal.abort(new Error('enough'))
  await assert.rejects(dumpMemory(qemu(32 * MIB, blank), source, target, signal), {
    message: 'enough',
  })
  await assert.rejects(access(target))
})
