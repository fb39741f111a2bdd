/**
 * Notices a scratch block that fails its authentication. Programs see only a read error; the kernel says why in its log, and then the host has
 * touched what is ours.
 */
import { CloisterError } from '@cloister/protocol/error'
import { openPolled, type TakeBytes } from '../guest/polled-device.ts'

/** dm-crypt's words for a tag that does not fit. */
const TAMPERED = 'INTEGRITY AEAD ERROR'
/** By this name many lines are read at once. It gives out each line once: containers do not see it (`MASKED_PATHS`). What the kernel overwrites before it is read is lost. */
const KERNEL_LOG = '/proc/kmsg'

/**
 * Never resolves.
 *
 * @throws CloisterError `agent.scratch-corrupt`, `agent.scratch-failed` when the log cannot be read
 */
export async function watchScratch(open = openKernelLog): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>()
  const failed = (cause?: unknown) =>
    reject(new CloisterError('agent.scratch-failed', { why: 'no kernel log', cause }))
  let before = ''
  try {
    const log = open((bytes) => {
      const text = before + bytes.toString('latin1')
      if (text.includes(TAMPERED)) reject(new CloisterError('agent.scratch-corrupt'))
      before = text.slice(1 - TAMPERED.length)
      return true
    })
    log.once('error', failed)
    log.once('close', failed)
  } catch (cause) {
    failed(cause)
  }
  return promise
}

function openKernelLog(take: TakeBytes) {
  return openPolled(KERNEL_LOG, 'read', take).socket
}
