/** Puts file systems into partitions of one disk: a GPT with an ESP and a root, which comes last so that it can grow. */
import { spawn } from 'node:child_process'
import { open, stat, truncate, writeFile } from 'node:fs/promises'

import { CloisterError } from '@cloister/protocol/error'

import type { BuildContext } from '../run.ts'
import { IDENTIFIERS } from './debian-12.ts'

const SECTOR = 512
const MIB = 1 << 20
const ESP_TYPE = 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b'
/** "Linux root (x86-64)" of the Discoverable Partitions Specification. */
const ROOT_TYPE = '4f68bce3-e8cd-4db1-96e7-fbcaf984b709'
const CHUNK_BYTES = MIB

/** @param disk - created, or written over; what holds only zeros stays a hole */
export async function partitionDisk(
  disk: string,
  { esp, root }: { readonly esp: string; readonly root: string },
  context: BuildContext,
): Promise<void> {
  const [{ size: espBytes }, { size: rootBytes }] = await Promise.all([stat(esp), stat(root)])
  const rootStart = MIB + espBytes
  await writeFile(disk, '')
  // The backup table needs 33 sectors at the end.
  await truncate(disk, rootStart + rootBytes + MIB)
  const line = (start: number, bytes: number, type: string, uuid: string, name: string) =>
    `start=${start / SECTOR}, size=${bytes / SECTOR}, type=${type}, uuid=${uuid}, name=${name}\n`
  const { disk: label, espPartition, rootPartition } = IDENTIFIERS
  const script =
    `label: gpt\nlabel-id: ${label}\n` +
    line(MIB, espBytes, ESP_TYPE, espPartition, 'esp') +
    line(rootStart, rootBytes, ROOT_TYPE, rootPartition, 'root')
  await sfdisk(disk, script, context)
  await copyInto(disk, MIB, esp, context)
  await copyInto(disk, rootStart, root, context)
}

async function sfdisk(disk: string, script: string, { signal, debugLog }: BuildContext) {
  debugLog?.(`+ sfdisk ${disk}`)
  const child = spawn('sfdisk', ['--quiet', '--no-reread', '--no-tell-kernel', disk], {
    stdio: ['pipe', 'ignore', 'pipe'],
    env: { ...process.env, LC_ALL: 'C', PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` },
    ...(signal && { signal }),
  })
  let errors = ''
  child.stderr.on('data', (chunk: Buffer) => (errors = `${errors}${chunk.toString()}`.slice(-400)))
  child.stdin.on('error', () => {})
  child.stdin.end(script)
  const status = await new Promise<number | null>((resolve, reject) => {
    child.on('error', (cause: NodeJS.ErrnoException) => {
      const missing = new CloisterError('guest-image.tool-missing', { where: 'sfdisk', cause })
      reject(cause.code === 'ENOENT' ? missing : cause)
    })
    child.on('close', resolve)
  })
  if (status !== 0)
    throw new CloisterError('guest-image.tool-failed', { where: 'sfdisk', why: errors.trim() })
}

async function copyInto(disk: string, offset: number, file: string, { signal }: BuildContext) {
  await using target = await open(disk, 'r+')
  await using source = await open(file)
  const chunk = Buffer.alloc(CHUNK_BYTES)
  const zeros = Buffer.alloc(CHUNK_BYTES)
  for (let position = 0; ;) {
    signal?.throwIfAborted()
    const { bytesRead } = await source.read(chunk, 0, CHUNK_BYTES, position)
    if (bytesRead === 0) return
    const piece = chunk.subarray(0, bytesRead)
    if (!piece.equals(zeros.subarray(0, bytesRead)))
      await target.write(piece, 0, bytesRead, offset + position)
    position += bytesRead
  }
}
