/**
 * Notices a scratch block that fails its authentication. Programs see only a read error; the kernel says why in its log, and then the host has
 * touched what is ours.
 */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { CloisterError } from '@cloister/protocol/error'

/** dm-crypt's words for a tag that does not fit. */
const TAMPERED = /INTEGRITY AEAD ERROR/

/** Never resolves. @throws CloisterError `agent.scratch-corrupt` */
export async function watchScratch(): Promise<never> {
  // By a relay, for a read of the kernel's log waits for its next line.
  const relay = spawn('busybox', ['cat', '/dev/kmsg'], { stdio: ['ignore', 'pipe', 'ignore'] })
  for await (const line of createInterface({ input: relay.stdout }))
    if (TAMPERED.test(line)) throw new CloisterError('agent.scratch-corrupt')
  // The kernel drops lines that nobody read in time, and the relay with them: then it is started again.
  return watchScratch()
}
