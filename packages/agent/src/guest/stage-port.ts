/** Tells the host how far the boot is, by numbers, and a failure by its code. The host is told nothing else here. */
import { closeSync, constants, openSync, writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ErrorCode } from '@cloister/protocol/errors/catalogue'
import { STAGES, type StageName } from '@cloister/protocol/guest-names'

export interface StagePort {
  /** The stage is reached now. A stage that comes after a later one is not told. */
  reached(stage: StageName): void
  /** Tells why the VM is about to end; settles when it is told or nobody listens. */
  failed(code: ErrorCode): Promise<void>
}

const RETRY_MS = 100
const LAST_WORDS_MS = 2000

/** Writes without waiting: a host that does not read stops nothing. */
export function openStagePort(
  device: string,
  uptimeMs: () => number = () => Number(process.hrtime.bigint() / 1_000_000n),
): StagePort {
  const port = openSync(device, constants.O_WRONLY | constants.O_NONBLOCK)
  const lines: string[] = []
  let last = 0
  let retry: NodeJS.Timeout | undefined

  const flush = (): boolean => {
    while (lines.length > 0) {
      try {
        writeSync(port, lines[0]!)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return true
        retry ??= setTimeout(() => {
          retry = undefined
          flush()
        }, RETRY_MS).unref()
        return false
      }
      lines.shift()
    }
    return true
  }

  return {
    reached(stage) {
      if (STAGES[stage] <= last) return
      last = STAGES[stage]
      lines.push(`${last} ${stage} ${Math.round(uptimeMs())}\n`)
      flush()
    },
    async failed(code) {
      lines.push(`! ${code}\n`)
      const deadline = performance.now() + LAST_WORDS_MS
      while (!flush() && performance.now() < deadline) await sleep(RETRY_MS)
      closeSync(port)
    },
  }
}
