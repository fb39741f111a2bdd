/** Canaries: random words that stand for secrets and image content, and the search for them wherever the host can look. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'

/** A word that nothing else contains. */
export function newCanary(): string {
  return `canary-${randomBytes(20).toString('hex')}`
}

const CHUNK_BYTES = 1 << 20
/** Most of a sparse disk. */
const ZEROS = Buffer.alloc(CHUNK_BYTES)

/**
 * Reads every file below the places, links not followed, and fails when one holds a canary, plain, in hex or in base64 of either alphabet. The guest's RAM is no
 * file: simulation does not encrypt it.
 */
export async function assertSilent(
  places: readonly string[],
  canaries: readonly (string | Uint8Array)[],
): Promise<void> {
  const needles = canaries.flatMap(formsOf)
  let files = 0
  for (const place of places)
    for (const entry of await readdir(place, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue
      const file = join(entry.parentPath, entry.name)
      assert.ok(!(await holdsAny(file, needles)), `${file} holds a canary`)
      files++
    }
  assert.ok(files > 0, 'nothing was searched')
}

/** As they are, in hex, and in base64 at each of the three alignments, without the ends that depend on their neighbours. */
function formsOf(canary: string | Uint8Array): Buffer[] {
  const bytes = typeof canary === 'string' ? Buffer.from(canary) : Buffer.from(canary)
  const base64 = [0, 1, 2].flatMap((offset) => {
    const text = Buffer.concat([Buffer.alloc(offset), bytes]).toString('base64')
    const inner = text.slice(4, text.length - (text.length % 4) - 4)
    return [inner, inner.replaceAll('+', '-').replaceAll('/', '_')]
  })
  return [bytes, ...[bytes.toString('hex'), ...base64].map((form) => Buffer.from(form))]
}

async function holdsAny(file: string, needles: readonly Buffer[]): Promise<boolean> {
  const overlap = Math.max(...needles.map(({ length }) => length)) - 1
  let tail = Buffer.alloc(0)
  try {
    for await (const chunk of createReadStream(file, { highWaterMark: CHUNK_BYTES })) {
      if (ZEROS.equals(chunk as Buffer)) {
        tail = Buffer.alloc(0)
        continue
      }
      const window = Buffer.concat([tail, chunk as Buffer])
      if (needles.some((needle) => window.includes(needle))) return true
      tail = window.subarray(-overlap)
    }
  } catch (error) {
    // Files of parts that run come and go.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  return false
}
