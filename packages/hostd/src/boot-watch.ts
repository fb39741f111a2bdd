/** Deadlines of a guest's start: from each stage to the next. */
import { CloisterError } from '@cloister/protocol/error'
import type { StageName } from '@cloister/protocol/guest-names'
import { guestPlace } from './guest-place.ts'

/** Milliseconds that may pass after a stage until the next one; `launch` is the time before the first. */
export type StageDeadlines = Readonly<Record<StageName | 'launch', number>>

/**
 * An emulated guest on a busy two-core machine reaches each stage within ten seconds; these are twelve times that. Attestation waits for a
 * slow broker, and the pull for a slow registry and a large image.
 */
export const STAGE_DEADLINES: StageDeadlines = {
  launch: 120_000,
  initrd: 120_000,
  modules: 120_000,
  verity: 120_000,
  root: 120_000,
  agent: 120_000,
  initdata: 120_000,
  attest: 300_000,
  attested: 120_000,
  // A quarter of a large disk under emulation.
  keys: 3_600_000,
  install: 3_600_000,
  'install-25': 3_600_000,
  'install-50': 3_600_000,
  'install-75': 3_600_000,
  pull: 3_600_000,
  unpacked: 120_000,
  ready: 120_000,
  started: 120_000,
  exited: 120_000,
}

export class BootWatch {
  readonly #deadlines: StageDeadlines
  readonly #late = Promise.withResolvers<never>()
  #timer: NodeJS.Timeout | undefined

  constructor(deadlines: StageDeadlines) {
    this.#deadlines = deadlines
    // Nobody may be waiting any more when the watch is stopped late.
    this.#late.promise.catch(() => undefined)
  }

  /** Rejects with `guest.stage-timeout` when a stage does not come in time; never resolves. */
  get late(): Promise<never> {
    return this.#late.promise
  }

  /** The guest is at this stage now. */
  reached(stage: StageName | 'launch'): void {
    clearTimeout(this.#timer)
    const deadline = this.#deadlines[stage]
    this.#timer = setTimeout(() => {
      const why = `nothing came from it for ${Math.round(deadline / 1000)} s`
      this.#late.reject(new CloisterError('guest.stage-timeout', { where: guestPlace(stage), why }))
    }, deadline)
  }

  stop(): void {
    clearTimeout(this.#timer)
  }
}
