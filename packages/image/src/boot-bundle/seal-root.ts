/** Takes the root out of a disk image, grows it to the room that the encrypted disk has, and prepares that disk. */
import { open, rm, truncate } from 'node:fs/promises'
import { join } from 'node:path'

import { CloisterError } from '@cloister/protocol/error'
import { areaFor, roomIn } from '@cloister/protocol/sealed-disk/room'

import type { BuildContext } from '../run.ts'
import { run } from '../run.ts'
import { prepareDisk } from '../sealed-disk/prepare-disk.ts'
import type { DiskSystem } from './disk-system.ts'
import { SYSTEM_TOOLS } from './ext-files.ts'

const MIB = 1 << 20
const CHUNK_BYTES = MIB

export interface SealOptions extends BuildContext {
  readonly system: DiskSystem
  /** The disk to be made; must not exist. */
  readonly target: string
  /** An empty directory; holds the root in clear for a while. */
  readonly work: string
  readonly secret: Uint8Array
  /** 16 bytes, hex. */
  readonly id: string
  /** Size of the encrypted area. Absent: the smallest that holds the root. */
  readonly diskMiB?: number | undefined
  readonly onProgress?: ((share: number) => void) | undefined
}

/**
 * @returns for the initdata: the size of the encrypted area, and the digest of the content's records
 * @throws CloisterError `vm-boot.disk-too-small`, `guest-image.*`
 */
export async function sealRoot(
  options: SealOptions,
): Promise<{ readonly dataBytes: number; readonly source: string }> {
  const { system, target, work, secret, id, diskMiB, onProgress, signal, debugLog } = options
  const context = { signal, debugLog }
  const least = areaFor(Math.ceil(system.rootBytes / MIB) * MIB)
  const dataBytes = diskMiB === undefined ? least : diskMiB * MIB
  if (dataBytes < least)
    throw new CloisterError('vm-boot.disk-too-small', {
      expected: `at least ${least / MIB} MiB`,
      received: `${dataBytes / MIB} MiB`,
    })
  const fileSystem = join(work, 'root')
  try {
    await copyPartition(system, fileSystem, signal)
    await grow(fileSystem, roomIn(dataBytes), context)
    const disk = { ...context, fileSystem, target, secret, id, dataBytes, onProgress }
    return { dataBytes, source: await prepareDisk(disk) }
  } catch (error) {
    await rm(target, { force: true })
    throw error
  } finally {
    await rm(fileSystem, { force: true })
  }
}

/** What is zero stays a hole. */
async function copyPartition(
  { root, rootBytes }: DiskSystem,
  to: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  await using from = await open(root.image, 'r')
  await using copy = await open(to, 'wx', 0o600)
  const buffer = Buffer.alloc(CHUNK_BYTES)
  for (let done = 0; done < rootBytes;) {
    signal?.throwIfAborted()
    const wanted = Math.min(buffer.length, rootBytes - done)
    const { bytesRead } = await from.read(buffer, 0, wanted, root.offset + done)
    if (bytesRead === 0) break
    const piece = buffer.subarray(0, bytesRead)
    if (piece.some((byte) => byte !== 0)) await copy.write(piece, 0, piece.length, done)
    done += bytesRead
  }
  await copy.truncate(rootBytes)
}

/** resize2fs takes only what e2fsck has just found clean. */
async function grow(fileSystem: string, bytes: number, context: BuildContext): Promise<void> {
  await truncate(fileSystem, bytes)
  const tools = { ...context, env: SYSTEM_TOOLS }
  await run('e2fsck', ['-f', '-p', fileSystem], tools).catch(correctedIsGood)
  await run('resize2fs', [fileSystem], tools)
}

/** e2fsck(8), exit code 1: errors were there and are none any more. */
function correctedIsGood(error: unknown): void {
  const cause = error instanceof CloisterError ? (error.cause as { code?: unknown }) : undefined
  if (cause?.code !== 1) throw error
}
