/**
 * The TCG event log of a guest that has no agent to give it: found in its RAM, as its firmware and its kernel keep it (TCG PC Client Platform Firmware
 * Profile, 10; Linux keeps a copy for /sys/kernel/security/tpm0). Attacker-controlled: every byte. No quote stands behind it, so it says what the
 * guest shows, and a guest that wants to lie can show another.
 */
import { open, type FileHandle } from 'node:fs/promises'
import { toUtf8 } from '@cloister/verifier/bytes/text'
import { FormatError } from '@cloister/verifier/bytes/format-error'
import { parseTcgLog } from '@cloister/verifier/eventlog/tcg-log'
import { hashById } from '@cloister/verifier/tpm/algorithms'

/** Of the first record's data; before it stand PCR, type, SHA-1 digest and size. */
const SIGNATURE = toUtf8('Spec ID Event03\0')
const RECORD_HEAD = { pcr: 0, type: 4, digest: 8, size: 28, data: 32 } as const
const NO_ACTION = 3
const MAX_HEADER_DATA = 512
const MAX_LOG_BYTES = 1 << 20
const MAX_EVENT_DATA = 1 << 18
const LAST_PCR = 23
/** Copies of the signature that are looked at: firmware, loader and kernel leave a handful. */
const MAX_CANDIDATES = 256
/** A log without an event of these is the beginning of one, or none. */
const MIN_EVENTS = 4
const PIECE_BYTES = 8 << 20

/**
 * The longest log in a dump; of several as long, the one that is there most often: earlier boots of the same RAM may have left theirs.
 *
 * @param file - what `Vm.dumpMemory` wrote
 * @returns undefined when there is none
 */
export async function findBootLog(
  file: string,
  signal?: AbortSignal,
): Promise<Uint8Array | undefined> {
  await using dump = await open(file, 'r')
  const found = new Map<string, { readonly log: Uint8Array; copies: number }>()
  let candidates = 0
  for await (const offset of signatures(dump, signal)) {
    if (++candidates > MAX_CANDIDATES) break
    const log = await logAt(dump, offset - RECORD_HEAD.data)
    if (log === undefined) continue
    const text = Buffer.from(log).toString('latin1')
    const known = found.get(text)
    if (known === undefined) found.set(text, { log, copies: 1 })
    else known.copies++
  }
  const [best] = [...found.values()].toSorted(
    (a, b) => b.log.length - a.log.length || b.copies - a.copies,
  )
  return best?.log
}

/** Offsets of the signature in the dump. */
async function* signatures(dump: FileHandle, signal?: AbortSignal): AsyncGenerator<number> {
  const buffer = Buffer.alloc(PIECE_BYTES + SIGNATURE.length - 1)
  for (let start = 0; ; start += PIECE_BYTES) {
    signal?.throwIfAborted()
    const { bytesRead } = await dump.read(buffer, 0, buffer.length, start)
    const piece = buffer.subarray(0, bytesRead)
    for (let at = piece.indexOf(SIGNATURE); at >= 0; at = piece.indexOf(SIGNATURE, at + 1))
      if (at < PIECE_BYTES) yield start + at
    if (bytesRead < buffer.length) return
  }
}

async function logAt(dump: FileHandle, offset: number): Promise<Uint8Array | undefined> {
  if (offset < 0) return undefined
  const buffer = Buffer.alloc(MAX_LOG_BYTES)
  const { bytesRead } = await dump.read(buffer, 0, buffer.length, offset)
  return logPrefix(buffer.subarray(0, bytesRead))
}

/**
 * The log at the beginning of bytes of which nobody knows where it ends: whole records, up to the first that is none.
 *
 * @returns undefined when no log begins there
 */
export function logPrefix(bytes: Uint8Array): Uint8Array | undefined {
  const sizes = readHeader(bytes)
  if (sizes === undefined) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let end = RECORD_HEAD.data + view.getUint32(RECORD_HEAD.size, true)
  let events = 0
  for (;;) {
    const next = recordEnd(view, end, sizes)
    if (next === undefined) break
    end = next
    events++
  }
  const log = bytes.slice(0, end)
  return events >= MIN_EVENTS && isLog(log) ? log : undefined
}

/** Digest sizes by algorithm, from the first record. */
function readHeader(bytes: Uint8Array): ReadonlyMap<number, number> | undefined {
  if (bytes.length < RECORD_HEAD.data + SIGNATURE.length) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const isHeader =
    view.getUint32(RECORD_HEAD.pcr, true) === 0 &&
    view.getUint32(RECORD_HEAD.type, true) === NO_ACTION &&
    bytes.subarray(RECORD_HEAD.digest, RECORD_HEAD.size).every((byte) => byte === 0)
  const size = view.getUint32(RECORD_HEAD.size, true)
  if (!isHeader || size > MAX_HEADER_DATA || RECORD_HEAD.data + size > bytes.length)
    return undefined
  // The parser knows the layout of the header; one record alone is a log of its own.
  try {
    const { hashes } = parseTcgLog(bytes.slice(0, RECORD_HEAD.data + size))
    return new Map(hashes.map((hash) => [hash.id, hash.size]))
  } catch (error) {
    if (error instanceof FormatError) return undefined
    throw error
  }
}

/** Where the record at an offset ends; undefined when none that a firmware writes is there. */
function recordEnd(
  view: DataView,
  offset: number,
  sizes: ReadonlyMap<number, number>,
): number | undefined {
  let at = offset + 12
  if (at > view.byteLength) return undefined
  const type = view.getUint32(offset + 4, true)
  const count = view.getUint32(offset + 8, true)
  if (view.getUint32(offset, true) > LAST_PCR || type === 0 || count !== sizes.size)
    return undefined
  const seen = new Set<number>()
  for (let bank = 0; bank < count; bank++) {
    if (at + 2 > view.byteLength) return undefined
    const algorithm = view.getUint16(at, true)
    const size = hashById(algorithm)?.size
    if (size === undefined || sizes.get(algorithm) !== size || seen.has(algorithm)) return undefined
    seen.add(algorithm)
    at += 2 + size
  }
  if (at + 4 > view.byteLength) return undefined
  const dataBytes = view.getUint32(at, true)
  const end = at + 4 + dataBytes
  return dataBytes <= MAX_EVENT_DATA && end <= view.byteLength ? end : undefined
}

function isLog(bytes: Uint8Array): boolean {
  try {
    parseTcgLog(bytes)
    return true
  } catch (error) {
    if (error instanceof FormatError) return false
    throw error
  }
}
