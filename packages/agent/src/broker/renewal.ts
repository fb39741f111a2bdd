/** Keeps the token current while the container runs: one handshake a lifetime, before the end of the last. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { KbsClient } from './kbs-client.ts'

/** Part of a token's remaining life after which it is renewed. */
const RENEW_AT = 0.75
/** Between two tries when the broker does not answer, and the least time between handshakes. */
const MIN_PAUSE_MS = 15_000

/** Runs until the signal. A refusal is not the container's end: its secrets are out already, and the state shows by the old token. */
export async function renewTokens(
  client: KbsClient,
  now: () => number,
  onFailure: (error: unknown) => void,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const remainingMs = (client.token?.expiresAt ?? 0) - now()
    const pauseMs = Math.max(MIN_PAUSE_MS, Math.min(remainingMs * RENEW_AT, 0x7fffffff))
    try {
      await sleep(pauseMs, undefined, { signal, ref: false })
      await client.renew(signal)
    } catch (error) {
      if (signal.aborted) return
      onFailure(error)
    }
  }
}
