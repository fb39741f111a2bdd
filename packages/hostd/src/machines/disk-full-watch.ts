/** A guest that stands still because the host's disk is full: tells of it, and lets it go on when there is space again. */
import { statfs } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Vm } from '@cloister/launcher/vm-spec'

/** With less the guest would stand still again at once. */
const ENOUGH_FREE_BYTES = 64 << 20
/** How often space is looked for. */
const POLL_MS = 1_000
/** A file system may refuse what it says it has: then it is asked ever less often. */
const LONGEST_POLL_MS = 60_000
/** A guest that stands still again within this time was let go on too early. */
const TOO_EARLY_MS = 10_000

export interface DiskFullWatchOptions {
  readonly vm: Pick<Vm, 'isDiskFull' | 'onDiskFull' | 'resume'>
  /** On the file system of the disk. */
  readonly folder: string
  readonly onFull: () => void
  readonly onResumed: () => void
  readonly log: (error: unknown) => void
}

export class DiskFullWatch {
  readonly #options: DiskFullWatchOptions
  readonly #leave = new AbortController()
  #pollMs = POLL_MS
  #resumedAt = -Infinity
  #isWaiting = false

  constructor(options: DiskFullWatchOptions) {
    this.#options = options
    options.vm.onDiskFull(() => this.#stoodStill())
    if (options.vm.isDiskFull) this.#stoodStill()
  }

  /** Lets the guest go on now, whatever space there is. @throws CloisterError `qemu.*` */
  async resume(): Promise<void> {
    const { vm, onResumed } = this.#options
    this.#resumedAt = performance.now()
    await vm.resume()
    onResumed()
  }

  end(): void {
    this.#leave.abort()
  }

  #stoodStill(): void {
    const isTooEarly = performance.now() - this.#resumedAt < TOO_EARLY_MS
    this.#pollMs = isTooEarly ? Math.min(2 * this.#pollMs, LONGEST_POLL_MS) : POLL_MS
    this.#options.onFull()
    if (this.#isWaiting) return
    this.#isWaiting = true
    void this.#untilSpace()
      .catch((error: unknown) => {
        if (!this.#leave.signal.aborted) this.#options.log(error)
      })
      .finally(() => (this.#isWaiting = false))
  }

  async #untilSpace(): Promise<void> {
    const { vm, folder } = this.#options
    while (vm.isDiskFull) {
      await sleep(this.#pollMs, undefined, { signal: this.#leave.signal, ref: false })
      const { bavail, bsize } = await statfs(folder)
      if (vm.isDiskFull && bavail * bsize >= ENOUGH_FREE_BYTES) await this.resume()
    }
  }
}
