/**
 * Guest RAM as the host can read it, by QMP. QEMU may open no folder, so it writes into a file of the VM's state directory that it
 * inherited at its start, piece by piece; each piece is then copied to where the caller wants it.
 */
import { open, rm, statfs, type FileHandle } from 'node:fs/promises'
import { CloisterError } from '@cloister/protocol/error'
import type { QmpClient } from './qmp.ts'
import type { MemoryDump, MemoryRange } from './vm-spec.ts'
import { writeError } from './vm-files.ts'

/** The first descriptor that a machine's QEMU inherits: see `launch-files.ts`. */
const DESCRIPTOR = 3
/** QEMU stands still while it writes one: some 10 ms. */
const PIECE_BYTES = 16 << 20
const PIECE_TIMEOUT_MS = 30_000
/** What must stay free of the disk behind a dump. */
const SPARE_BYTES = 256 << 20
/** Zeros in runs of at least this are left as holes. */
const BLOCK_BYTES = 64 << 10

/** q35 (pc_q35_init): from 2.75 GiB of RAM on, 2 GiB stand below the hole for devices and the rest above 4 GiB. */
const Q35 = { mostBelow: 0xb000_0000, below: 0x8000_0000, above: 0x1_0000_0000n } as const

/** The parts of a q35's address space that are RAM, ascending. */
export function ramRanges(bytes: number): { start: bigint; bytes: number }[] {
  if (bytes < Q35.mostBelow) return [{ start: 0n, bytes }]
  return [
    { start: 0n, bytes: Q35.below },
    { start: Q35.above, bytes: bytes - Q35.below },
  ]
}

/**
 * @param source - the inherited file
 * @param target - made here with mode 0600
 * @throws CloisterError `vm.dump-target-taken`, `vm.folder-denied`, `host.disk-full`, `qemu.*`
 */
export async function dumpMemory(
  qmp: Pick<QmpClient, 'execute'>,
  source: string,
  target: string,
  signal?: AbortSignal,
): Promise<MemoryDump> {
  const allBytes = await ramBytes(qmp)
  const ram = ramRanges(allBytes)
  await using from = await open(source, 'r+')
  const to = await create(target)
  try {
    await requireSpace(target, allBytes)
    const ranges: MemoryRange[] = []
    let offset = 0
    for (const { start, bytes } of ram)
      for (let done = 0; done < bytes; done += PIECE_BYTES) {
        signal?.throwIfAborted()
        const piece = { start: start + BigInt(done), bytes: Math.min(PIECE_BYTES, bytes - done) }
        const isReadable = await save(qmp, piece)
        const isBlank = !isReadable || (await copy(from, to, offset, piece.bytes))
        append(ranges, { ...piece, isReadable, isBlank: isReadable && isBlank })
        offset += piece.bytes
      }
    await to.truncate(offset)
    await from.truncate(0)
    return { ranges }
  } catch (error) {
    await rm(target, { force: true })
    throw writeError(error, target)
  } finally {
    await to.close()
  }
}

async function create(target: string): Promise<FileHandle> {
  try {
    return await open(target, 'wx', 0o600)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST')
      throw new CloisterError('vm.dump-target-taken', { where: target, cause: error })
    throw writeError(error, target)
  }
}

/** A guest whose RAM is full of random bytes must not fill the host's disk. @throws CloisterError `host.disk-full` */
async function requireSpace(target: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(target)
  if (bavail * bsize < bytes + SPARE_BYTES)
    throw new CloisterError('host.disk-full', {
      where: target,
      expected: `${Math.ceil((bytes + SPARE_BYTES) / 2 ** 20)} MiB free`,
      received: `${Math.floor((bavail * bsize) / 2 ** 20)} MiB`,
    })
}

async function ramBytes(qmp: Pick<QmpClient, 'execute'>): Promise<number> {
  const answer = await qmp.execute('query-memory-size-summary')
  const bytes = (answer as { 'base-memory'?: unknown } | null)?.['base-memory']
  if (typeof bytes === 'number' && Number.isSafeInteger(bytes) && bytes > 0) return bytes
  throw new CloisterError('qemu.protocol', { where: 'query-memory-size-summary' })
}

/** Whether QEMU could read the piece. */
async function save(
  qmp: Pick<QmpClient, 'execute'>,
  { start, bytes }: { start: bigint; bytes: number },
): Promise<boolean> {
  const filename = `/proc/self/fd/${DESCRIPTOR}`
  try {
    // Below 2^53 for every RAM that a VM may have.
    await qmp.execute('pmemsave', { val: Number(start), size: bytes, filename }, PIECE_TIMEOUT_MS)
    return true
  } catch (error) {
    if (error instanceof CloisterError && error.code === 'qemu.refused') return false
    throw error
  }
}

/** @returns whether all of it is zero */
async function copy(from: FileHandle, to: FileHandle, offset: number, bytes: number) {
  const buffer = Buffer.allocUnsafe(bytes)
  let length = 0
  while (length < bytes) {
    const { bytesRead } = await from.read(buffer, length, bytes - length, length)
    if (bytesRead === 0) break
    length += bytesRead
  }
  let isBlank = true
  for (let at = 0; at < length; at += BLOCK_BYTES) {
    const block = buffer.subarray(at, Math.min(at + BLOCK_BYTES, length))
    if (block.equals(ZEROS.subarray(0, block.length))) continue
    isBlank = false
    await to.write(block, 0, block.length, offset + at)
  }
  return isBlank
}

const ZEROS = Buffer.alloc(BLOCK_BYTES)

/** Neighbours of one kind are one range. */
function append(ranges: MemoryRange[], next: MemoryRange): void {
  const last = ranges.at(-1)
  const isSame =
    last !== undefined &&
    last.start + BigInt(last.bytes) === next.start &&
    last.isReadable === next.isReadable &&
    last.isBlank === next.isBlank
  if (isSame) ranges.splice(-1, 1, { ...last, bytes: last.bytes + next.bytes })
  else ranges.push(next)
}
