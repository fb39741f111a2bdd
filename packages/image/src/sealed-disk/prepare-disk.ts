/**
 * Prepares an encrypted disk on its owner's machine: the content of a root file system in records that only the attested guest can read,
 * behind the room for the encrypted area that the guest makes at its first boot. What leaves this machine shows sizes and no content.
 */
import { createHash } from 'node:crypto'
import { open, stat, type FileHandle } from 'node:fs/promises'

import { CloisterError } from '@cloister/protocol/error'
import { diskKeys, wipeKeys } from '@cloister/protocol/sealed-disk/keys'
import { encodeLabel } from '@cloister/protocol/sealed-disk/label'
import { SEALED_DISK } from '@cloister/protocol/sealed-disk/layout'
import { areaFor, roomIn } from '@cloister/protocol/sealed-disk/room'
import { encodeSourceRecord, SOURCE_RECORD_BYTES } from '@cloister/protocol/sealed-disk/source'

import type { BuildContext } from '../run.ts'
import { usedExtents, type Extent } from './used-extents.ts'

const MIB = 1 << 20

export interface PrepareOptions extends BuildContext {
  /** The root's file system alone, a raw file. */
  readonly fileSystem: string
  /** The disk to be made; must not exist. */
  readonly target: string
  /** 32 bytes; what the broker will release. */
  readonly secret: Uint8Array
  /** 16 bytes, hex. */
  readonly id: string
  /** Of the encrypted area, a multiple of a MiB. */
  readonly dataBytes: number
  readonly onProgress?: ((share: number) => void) | undefined
}

/**
 * @returns SHA-256 of the records, hex
 * @throws CloisterError `vm-boot.disk-too-small`, `guest-image.*`
 */
export async function prepareDisk(options: PrepareOptions): Promise<string> {
  const { fileSystem, target, secret, id, dataBytes, onProgress, signal } = options
  const { size } = await stat(fileSystem)
  if (size > roomIn(dataBytes))
    throw new CloisterError('vm-boot.disk-too-small', {
      expected: `at least ${areaFor(size) / MIB} MiB`,
      received: `${dataBytes / MIB} MiB`,
    })
  const extents = await usedExtents(fileSystem, size, options)
  const keys = diskKeys(secret, id)
  try {
    await using from = await open(fileSystem, 'r')
    await using to = await open(target, 'wx', 0o600)
    const start = SEALED_DISK.dataOffset + dataBytes
    const total = extents.reduce((sum, { bytes }) => sum + bytes, 0)
    let written = 0
    let index = 0
    const records = createHash('sha256')
    let done = 0
    const put = async (offset: number, data: Uint8Array) => {
      signal?.throwIfAborted()
      const record = encodeSourceRecord(keys.source, index++, { offset, data })
      records.update(record)
      await to.write(record, 0, record.length, start + written)
      written += record.length
      done += data.length
      onProgress?.(done / Math.max(1, total))
    }
    for await (const { offset, data } of pieces(from, extents)) await put(offset, data)
    await put(size, new Uint8Array(0))
    await to.truncate(Math.ceil((start + written) / MIB) * MIB)
    const label = {
      kind: 'prepared',
      generation: 1,
      id,
      dataBytes,
      sourceBytes: written,
      headerBytes: 0,
      openedBytes: 0,
      superblock: '00'.repeat(32),
    } as const
    const bytes = encodeLabel(label, new Uint8Array(0), keys.mac)
    await to.write(bytes, 0, bytes.length, SEALED_DISK.slots[0])
    await to.sync()
    return records.digest('hex')
  } finally {
    wipeKeys(keys)
  }
}

async function* pieces(
  from: FileHandle,
  extents: readonly Extent[],
): AsyncGenerator<{ readonly offset: number; readonly data: Buffer }> {
  const buffer = Buffer.alloc(SOURCE_RECORD_BYTES)
  for (const extent of extents)
    for (let done = 0; done < extent.bytes;) {
      const offset = extent.offset + done
      const wanted = Math.min(buffer.length, extent.bytes - done)
      const { bytesRead } = await from.read(buffer, 0, wanted, offset)
      // A sparse file may end before its file system does.
      if (bytesRead === 0) buffer.fill(0, 0, wanted)
      const length = bytesRead === 0 ? wanted : bytesRead
      yield { offset, data: buffer.subarray(0, length) }
      done += length
    }
}
