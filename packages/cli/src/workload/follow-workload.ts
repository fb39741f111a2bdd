/** The events of one workload, across restarts of hostd: its guest goes on, and so does who watches it. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { HostdClient } from '@cloister/hostd/client'
import { ensureHostd } from '@cloister/hostd/ensure'
import type { Directories } from '@cloister/protocol/directories'
import { CloisterError } from '@cloister/protocol/error'
import type { HostdEvent } from '@cloister/protocol/hostd-events'

export interface FollowOptions {
  readonly hostd: HostdClient
  readonly directories: Directories
  readonly signal: AbortSignal
}

export type WorkloadEvent = Exclude<HostdEvent, { type: 'vm' }>

/** Between the end of one hostd and the look for the next. */
const REOPEN_MS = 200

/** Ends when the caller does. @throws CloisterError `hostd.unreachable` when none can be started any more; the signal's reason */
export async function* followWorkload(
  name: string,
  { hostd, directories, signal }: FollowOptions,
): AsyncGenerator<WorkloadEvent> {
  for (let current = hostd; ; current = await ensureHostd(directories, { signal })) {
    try {
      for await (const event of current.events({ workload: name, signal }))
        if (event.type !== 'vm') yield event
    } catch (error) {
      if (!(error instanceof CloisterError && error.code === 'hostd.unreachable')) throw error
    }
    signal.throwIfAborted()
    await sleep(REOPEN_MS, undefined, { signal })
  }
}
