/** Moves a container's output from the agent to the log ring, as far as the guest gives it. */
import { setTimeout as sleep } from 'node:timers/promises'
import { AgentService } from '@cloister/protocol/agent-service_pb'
import type { LogEntry } from '@cloister/protocol/hostd-api'
import { SessionLost, type GuestLink } from './guest-link.ts'
import type { LogRing } from './log-ring.ts'

/** Asked for at a time: as JSON, six bytes for one at worst, still well below the bound of a log line. */
const CHUNK_BYTES = 32 << 10
/** Between two short reads: gathers output that comes byte by byte, and keeps a chatty guest from filling the host's processors. */
const PAUSE_MS = 20

export interface LogPumpOptions {
  readonly link: GuestLink
  readonly ring: LogRing
  readonly containerId: string
  readonly stream: LogEntry['stream']
  readonly signal: AbortSignal
}

/** Reads until the guest gives no more: the stream has ended, or its policy does not let the host read it. */
export async function pumpLog(options: LogPumpOptions): Promise<void> {
  const { ring, stream, signal } = options
  const decoder = new TextDecoder()
  while (!signal.aborted) {
    const data = await readChunk(options)
    if (data === undefined || data.length === 0) return
    for (let start = 0; start < data.length; start += CHUNK_BYTES) {
      const piece = data.subarray(start, start + CHUNK_BYTES)
      const text = decoder.decode(piece, { stream: true })
      if (text !== '') await ring.append({ stream, time: new Date().toISOString(), text })
    }
    if (data.length < CHUNK_BYTES) await sleep(PAUSE_MS)
  }
}

/** Absent: the guest refused or the link is closed. */
async function readChunk(options: LogPumpOptions): Promise<Uint8Array | undefined> {
  const { link, containerId, stream, signal } = options
  const { readStdout, readStderr } = AgentService.method
  const method = stream === 'stdout' ? readStdout : readStderr
  const request = { containerId, execId: containerId, len: CHUNK_BYTES }
  while (!signal.aborted) {
    try {
      return (await link.call(method, request, { signal })).data
    } catch (error) {
      if (!(error instanceof SessionLost)) return undefined
      await sleep(PAUSE_MS * 10)
    }
  }
  return undefined
}
