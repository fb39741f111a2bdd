/**
 * Takes the content of a prepared disk over into its encrypted area: each record is authenticated before a byte of it is written, and all together are those
 * that the initdata names.
 */
import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { CloisterError } from '@cloister/protocol/error'
import {
  decodeSourceRecord,
  SOURCE_HEAD_BYTES,
  sourceCiphertextBytes,
} from '@cloister/protocol/sealed-disk/source'
import { readExactly, writeAll } from './disk-slots.ts'

export interface SourceCopy {
  /** The disk as the host gives it. */
  readonly device: string
  /** Where the records stand on it. */
  readonly offset: number
  readonly bytes: number
  readonly key: Uint8Array
  /** Of the records, hex. */
  readonly sha256: string
  /** The opened disk. */
  readonly target: string
  readonly targetBytes: number
  /** Told the share that is done, 0 to 1. */
  readonly onProgress: (share: number) => void
}

/** @throws CloisterError `agent.disk-source` */
export async function copySource(copy: SourceCopy): Promise<void> {
  const { device, offset, bytes, key, sha256, target, targetBytes, onProgress } = copy
  const records = createHash('sha256')
  await using disk = await open(device, 'r')
  await using opened = await open(target, 'r+')
  for (let index = 0, read = 0; ; index++) {
    const head = await readExactly(disk, offset + read, SOURCE_HEAD_BYTES)
    const length = head === undefined ? undefined : sourceCiphertextBytes(head)
    read += SOURCE_HEAD_BYTES + (length ?? 0)
    if (head === undefined || length === undefined || read > bytes) throw tampered(index)
    const ciphertext = await readExactly(disk, offset + read - length, length)
    const record =
      ciphertext === undefined ? undefined : decodeSourceRecord(key, index, head, ciphertext)
    if (ciphertext === undefined || record === undefined) throw tampered(index)
    records.update(head).update(ciphertext)
    if (record.offset + record.data.length > targetBytes)
      throw new CloisterError('agent.disk-source', {
        why: 'the file system is larger than the encrypted area',
      })
    if (record.data.length === 0) break
    await writeAll(opened, record.data, record.offset)
    onProgress(read / bytes)
  }
  const received = records.digest('hex')
  if (received !== sha256)
    throw new CloisterError('agent.disk-source', {
      why: 'these records are not those that the initdata names',
      expected: sha256,
      received,
    })
  await opened.sync()
}

function tampered(index: number): CloisterError {
  return new CloisterError('agent.disk-source', { received: `record ${index}` })
}
