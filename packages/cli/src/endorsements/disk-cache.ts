/** What the vendors' services answered, in `CLOISTER_HOME/cache/endorsements`: one file for each answer, bounded in number and size. */
import { createHash } from 'node:crypto'
import { readdir, readFile, rm, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { writeWhole } from '@cloister/launcher/write-whole'
import type { CachedAnswer, FetchCache } from '@cloister/verifier/fetch/fetch-cache'

export interface DiskCacheLimits {
  readonly files: number
  readonly bytes: number
}

const DEFAULT_LIMITS: DiskCacheLimits = { files: 1000, bytes: 64 << 20 }
const MAX_FILE_BYTES = 8 << 20

/** Nothing in it is trusted: the fetchers read and check each answer again. */
export class DiskFetchCache implements FetchCache {
  readonly #directory: string
  readonly #limits: DiskCacheLimits

  constructor(directory: string, limits: DiskCacheLimits = DEFAULT_LIMITS) {
    this.#directory = directory
    this.#limits = limits
  }

  async get(key: string): Promise<CachedAnswer | undefined> {
    const file = this.#fileOf(key)
    const answer = await readAnswer(file, key)
    // Used now: so the one used longest ago goes first.
    if (answer !== undefined) await utimes(file, new Date(), new Date()).catch(() => undefined)
    return answer
  }

  async set(key: string, { body, headers, storedAt }: CachedAnswer): Promise<void> {
    const json = { key, storedAt, headers, body: Buffer.from(body).toString('base64') }
    await writeWhole(this.#fileOf(key), JSON.stringify(json))
    await this.#shrink()
  }

  #fileOf(key: string): string {
    return join(this.#directory, `${createHash('sha256').update(key).digest('hex')}.json`)
  }

  async #shrink(): Promise<void> {
    const names = await readdir(this.#directory)
    const files = await Promise.all(
      names.map(async (name) => {
        const path = join(this.#directory, name)
        const found = await stat(path).catch(() => undefined)
        return found === undefined ? [] : [{ path, bytes: found.size, usedAt: found.mtimeMs }]
      }),
    )
    let left = { files: 0, bytes: 0 }
    for (const { path, bytes } of files.flat().sort((a, b) => b.usedAt - a.usedAt)) {
      left = { files: left.files + 1, bytes: left.bytes + bytes }
      if (left.files > this.#limits.files || left.bytes > this.#limits.bytes)
        await rm(path, { force: true })
    }
  }
}

/** Undefined for what is not there, was cut, or belongs to another key. */
async function readAnswer(file: string, key: string): Promise<CachedAnswer | undefined> {
  try {
    if ((await stat(file)).size > MAX_FILE_BYTES) return undefined
    const json = JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>
    const { storedAt, headers, body } = json
    if (json['key'] !== key || typeof storedAt !== 'number' || typeof body !== 'string')
      return undefined
    return {
      body: new Uint8Array(Buffer.from(body, 'base64')),
      headers: stringsOf(headers),
      storedAt,
    }
  } catch {
    return undefined
  }
}

function stringsOf(value: unknown): Record<string, string> {
  if (typeof value !== 'object' || value === null) return {}
  return Object.fromEntries(
    Object.entries(value).filter(
      (entry): entry is [string, string] => typeof entry[1] === 'string',
    ),
  )
}
