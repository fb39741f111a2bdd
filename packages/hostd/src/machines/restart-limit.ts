/** Bounds the restarts of a machine whose guest asks for one again and again, as a kernel does that panics at each boot. */

/** A run that lasted longer was no part of a loop. */
const LOOP_RUN_MS = 600_000
/** In a row, each after a short run. */
const MOST_RESTARTS = 5
/** Before the second restart in a row; doubled with each further one. */
const FIRST_PAUSE_MS = 2_000

export interface NextRestart {
  /** Restarts in a row with this one. */
  readonly inARow: number
  /** Before it. Absent: there is none any more. */
  readonly pauseMs?: number
}

/**
 * @param inARow - restarts before this one that followed short runs
 * @param runMs - how long the guest ran that asks for a restart
 */
export function nextRestart(inARow: number, runMs: number): NextRestart {
  if (runMs >= LOOP_RUN_MS) return { inARow: 1, pauseMs: 0 }
  if (inARow >= MOST_RESTARTS) return { inARow }
  return { inARow: inARow + 1, pauseMs: inARow === 0 ? 0 : FIRST_PAUSE_MS * 2 ** (inARow - 1) }
}
