/**
 * The guest's time comes from the host and no decision rests on it alone. The initrd has set its lower bound, the image's build time;
 * here it is corrected by what the broker says over the pinned channel, before any certificate of a registry is judged by it.
 */
import type { RunProgram } from './program.ts'

/** A difference that TLS and container images do not mind, and that the way to the broker explains. */
const TOLERANCE_MS = 30_000

export interface Clock {
  now(): number
  /** Sets the system's clock, milliseconds since 1970. */
  set(time: number): Promise<void>
}

export function systemClock(run: RunProgram): Clock {
  return {
    now: () => Date.now(),
    set: async (time) => {
      const { status } = await run(['busybox', 'date', '-u', '-s', `@${Math.round(time / 1000)}`])
      if (status !== 0) throw new Error('the clock cannot be set')
    },
  }
}

/**
 * @param date - the `Date` header of an answer of the broker; absent or unreadable changes nothing
 * @param epoch - the image's build time, seconds since 1970: nobody honest says an earlier one
 */
export async function correctClock(
  clock: Clock,
  date: string | undefined,
  epoch: number,
): Promise<void> {
  const time = Date.parse(date ?? '')
  if (Number.isNaN(time) || time < epoch * 1000) return
  if (Math.abs(clock.now() - time) > TOLERANCE_MS) await clock.set(time)
}
