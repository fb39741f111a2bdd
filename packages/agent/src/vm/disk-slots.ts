/** The two places of a sealed disk where labels and headers stand: read the one in force, write the other. */
import { open, type FileHandle } from 'node:fs/promises'
import { CloisterError } from '@cloister/protocol/error'
import { SEALED_DISK, SEALED_HEADER_BYTES } from '@cloister/protocol/sealed-disk/layout'
import {
  claimedHeaderBytes,
  encodeLabel,
  hasLabel,
  openLabel,
  type DiskLabel,
} from '@cloister/protocol/sealed-disk/label'

export interface DiskSlot {
  readonly label: DiskLabel
  /** The LUKS2 header, in this memory; empty on a prepared disk. */
  readonly header: Buffer
  /** Which of the places. */
  readonly index: number
  /** Which of the keys its MAC is under. */
  readonly key: number
}

/**
 * The label in force. Attacker-controlled: the disk; each label is read once, with its header, and what counts is that copy.
 *
 * @param macKeys - those that may have been used, in the order of preference
 * @throws CloisterError `agent.disk-label`
 */
export async function readSlot(device: string, macKeys: readonly Uint8Array[]): Promise<DiskSlot> {
  await using disk = await open(device, 'r')
  const found: DiskSlot[] = []
  let seen = 0
  for (const [index, offset] of SEALED_DISK.slots.entries()) {
    const bytes = await readExactly(disk, offset, SEALED_DISK.labelBytes)
    if (bytes === undefined || !hasLabel(bytes)) continue
    seen++
    const claimed = claimedHeaderBytes(bytes)
    if (claimed !== 0 && claimed !== SEALED_HEADER_BYTES) continue
    const header = await readExactly(disk, offset + SEALED_DISK.labelBytes, claimed)
    if (header === undefined) continue
    for (const [key, macKey] of macKeys.entries()) {
      const label = openLabel(bytes, header, macKey)
      if (label !== undefined) found.push({ label, header, index, key })
    }
  }
  const [newest] = found.toSorted((a, b) => b.label.generation - a.label.generation)
  if (newest !== undefined) return newest
  throw new CloisterError('agent.disk-label', {
    received: seen === 0 ? 'no label' : 'a label whose MAC is not by the key of this disk',
  })
}

/** Writes a label and its header where the one in force does not stand, and makes both durable before the old label goes. */
export async function replaceSlot(
  device: string,
  old: Pick<DiskSlot, 'index'>,
  { label, header }: Pick<DiskSlot, 'label' | 'header'>,
  macKey: Uint8Array,
): Promise<void> {
  await using disk = await open(device, 'r+')
  const offset = SEALED_DISK.slots[1 - old.index]!
  await writeAll(disk, header, offset + SEALED_DISK.labelBytes)
  await disk.sync()
  await writeAll(disk, encodeLabel(label, header, macKey), offset)
  await disk.sync()
  await writeAll(disk, Buffer.alloc(SEALED_DISK.labelBytes), SEALED_DISK.slots[old.index]!)
  await disk.sync()
}

/** @returns undefined when the disk ends before */
export async function readExactly(
  disk: FileHandle,
  offset: number,
  length: number,
): Promise<Buffer | undefined> {
  const bytes = Buffer.alloc(length)
  let filled = 0
  while (filled < length) {
    const { bytesRead } = await disk.read(bytes, filled, length - filled, offset + filled)
    if (bytesRead === 0) return undefined
    filled += bytesRead
  }
  return bytes
}

export async function writeAll(disk: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  let written = 0
  while (written < bytes.length) {
    const { bytesWritten } = await disk.write(
      bytes,
      written,
      bytes.length - written,
      offset + written,
    )
    written += bytesWritten
  }
}
