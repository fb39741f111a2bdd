/** The host's quota, `<home>/hostd/quota.json`: set by a call, kept over restarts. */
import { readFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { CloisterError } from '@cloister/protocol/error'
import { QuotaSchema, type Quota } from '@cloister/protocol/hostd-vm-api'
import { writeDurably } from './durable-file.ts'

/** vCPUs of all guests for one processor, where nothing was set: beyond it emulated guests stop answering in time. */
const CPU_OVERCOMMIT = 8
const LEAST_CPUS = 16

export class QuotaFile {
  readonly #path: string
  #quota: Quota

  private constructor(path: string, quota: Quota) {
    this.#path = path
    this.#quota = quota
  }

  /** @throws CloisterError `hostd.state-unreadable`: a quota that cannot be read must not count as none */
  static async open(path: string): Promise<QuotaFile> {
    let text: string
    try {
      text = await readFile(path, 'utf8')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new QuotaFile(path, {})
      throw error
    }
    try {
      return new QuotaFile(path, QuotaSchema.parse(JSON.parse(text)))
    } catch (cause) {
      throw new CloisterError('hostd.state-unreadable', { where: path, cause })
    }
  }

  /** What was set. */
  get quota(): Quota {
    return this.#quota
  }

  /** As in force. */
  get limit(): Quota {
    const cpus = Math.max(LEAST_CPUS, availableParallelism() * CPU_OVERCOMMIT)
    return { cpus, ...this.#quota }
  }

  /** Replaces what was set. Guests that run are not touched. */
  async set(quota: Quota): Promise<void> {
    await writeDurably(this.#path, JSON.stringify(quota))
    this.#quota = quota
  }
}
