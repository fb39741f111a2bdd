/** What happened to one machine: a bounded ring of events on disk, opened when it is first needed. */
import type { VmEvent } from '@cloister/protocol/hostd-vm-api'
import { LogRing } from '../log-ring.ts'

/** Two of these. */
const SEGMENT_BYTES = 128 << 10

export class MachineHistory {
  readonly #folder: string
  readonly #log: (error: unknown) => void
  #ring: Promise<LogRing<VmEvent>> | undefined

  constructor(folder: string, log: (error: unknown) => void) {
    this.#folder = folder
    this.#log = log
  }

  /** Adds an event, with the time. A history that cannot be written ends no machine. */
  say(event: Omit<VmEvent, 'time'>): void {
    const whole = { time: new Date().toISOString(), ...event }
    this.#open()
      .then((ring) => ring.append(whole))
      .catch(this.#log)
  }

  /** Lines, oldest first. */
  async read(signal: AbortSignal): Promise<AsyncGenerator<string>> {
    return (await this.#open()).read({ follow: false, signal })
  }

  async end(): Promise<void> {
    await (await this.#ring)?.end()
  }

  #open(): Promise<LogRing<VmEvent>> {
    this.#ring ??= LogRing.open<VmEvent>(this.#folder, {
      segmentBytes: SEGMENT_BYTES,
      segments: 2,
    })
    return this.#ring
  }
}
