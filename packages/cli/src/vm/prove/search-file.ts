/** Finds pieces of bytes in a file of any size, in bounded memory. */
import { open } from 'node:fs/promises'

export interface FoundPiece {
  /** Bytes from the start of the file. */
  readonly offset: number
  /** Which of the pieces. */
  readonly piece: number
}

const CHUNK_BYTES = 8 << 20
const ZEROS = Buffer.alloc(CHUNK_BYTES)
/** Enough to say where they are. */
const MOST = 4096

/** @param pieces - at most some KiB each. @returns in the order of the file; at most 4096 */
export async function searchFile(
  file: string,
  pieces: readonly Buffer[],
  signal?: AbortSignal,
): Promise<readonly FoundPiece[]> {
  const overlap = Math.max(0, ...pieces.map(({ length }) => length - 1))
  const buffer = Buffer.alloc(CHUNK_BYTES + overlap)
  const found: FoundPiece[] = []
  await using handle = await open(file, 'r')
  for (let start = 0; found.length < MOST; start += CHUNK_BYTES) {
    signal?.throwIfAborted()
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, start)
    const chunk = buffer.subarray(0, bytesRead)
    // Most of a disk or of RAM was never written.
    if (!isBlank(chunk)) found.push(...searchChunk(chunk, pieces, start))
    if (bytesRead < buffer.length) break
  }
  return found.slice(0, MOST)
}

/** Those that begin within the chunk proper, and not in the overlap, where the next one finds them. */
function searchChunk(chunk: Buffer, pieces: readonly Buffer[], start: number): FoundPiece[] {
  const found: FoundPiece[] = []
  for (const [piece, bytes] of pieces.entries())
    for (
      let at = chunk.indexOf(bytes);
      at >= 0 && at < CHUNK_BYTES;
      at = chunk.indexOf(bytes, at + 1)
    )
      if (found.push({ offset: start + at, piece }) === MOST) return found
  return found.toSorted((a, b) => a.offset - b.offset)
}

function isBlank(chunk: Buffer): boolean {
  const head = chunk.subarray(0, ZEROS.length)
  return (
    head.equals(ZEROS.subarray(0, head.length)) &&
    chunk.subarray(ZEROS.length).every((byte) => byte === 0)
  )
}
