/**
 * Notices a scratch block that fails its authentication. Programs see only a read error; the kernel says why in its log, and then the host has
 * touched what is ours.
 */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { CloisterError } from '@cloister/protocol/error'

/** dm-crypt's words for a tag that does not fit. */
const TAMPERED = /INTEGRITY AEAD ERROR/
/** By a relay, for a read of the kernel's log waits for its next line. */
export const KERNEL_LOG = ['busybox', 'cat', '/dev/kmsg'] as const
/** Before the log is read again from its beginning. */
const REOPEN_MS = 100

/**
 * Never resolves.
 *
 * @param first - the log as somebody else has opened it already
 * @throws CloisterError `agent.scratch-corrupt`, `agent.scratch-failed` when the log cannot be read
 */
export async function watchScratch(
  [program, ...words]: readonly [string, ...string[]] = KERNEL_LOG,
  first?: Promise<Readable>,
): Promise<never> {
  if (first !== undefined) await untilTampered(await first)
  for (;;) {
    const relay = spawn(program, words, { stdio: ['ignore', 'pipe', 'ignore'] })
    const failed = Promise.withResolvers<never>()
    relay.once('error', (cause) =>
      failed.reject(new CloisterError('agent.scratch-failed', { why: 'no kernel log', cause })),
    )
    failed.promise.catch(() => undefined)
    await Promise.race([failed.promise, untilTampered(relay.stdout)])
    // The kernel drops lines that nobody read in time, and the relay with them: then it is started again.
    await sleep(REOPEN_MS)
  }
}

/** Settles at the end of the log. */
async function untilTampered(log: Readable): Promise<void> {
  for await (const line of createInterface({ input: log }))
    if (TAMPERED.test(line)) throw new CloisterError('agent.scratch-corrupt')
}
