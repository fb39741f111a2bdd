/**
 * What QEMU said on its control socket, kept in a file whoever listens: a machine that ends while no hostd runs has told there why. Written by QEMU, so it
 * is believed no more than QEMU is.
 */
import { join } from 'node:path'
import { exitReason } from './exit-reason.ts'
import { openForeign } from './open-foreign.ts'
import { CONTROL_LOG } from './vm-files.ts'
import type { VmExit, VmState } from './vm-spec.ts'

/** Of a log's end: QEMU says little after the event that ends its guest. */
const READ_BYTES = 64 << 10
/** A guest can have QEMU tell of its clock once a second. */
const MAX_BYTES = 256 << 10

export type HeardEnd = Pick<VmExit, 'reason' | 'at'>

/** Why a machine ended that nobody watched, and when. Absent: it does not say, or it has not ended by itself. */
export async function readEnd({
  runtimeDirectory,
  hasMemoryDump,
}: VmState): Promise<HeardEnd | undefined> {
  const lines = (await readLast(join(runtimeDirectory, CONTROL_LOG))).split('\n')
  let hasPanicked = false
  let last: { readonly reason: string; readonly at: Date } | undefined
  for (const { event, data, timestamp } of lines.flatMap(eventIn)) {
    if (event === 'GUEST_PANICKED') hasPanicked = true
    if (event === 'SHUTDOWN' && typeof data?.['reason'] === 'string')
      last = { reason: data['reason'], at: timeOf(timestamp?.seconds) }
  }
  if (last === undefined) return undefined
  const reason = exitReason({
    shutdownReason: hasPanicked ? 'guest-panic' : last.reason,
    stop: undefined,
    isDead: false,
    isMachine: hasMemoryDump === true,
  })
  return reason === 'unknown' ? undefined : { reason, at: last.at }
}

/** Called while somebody listens. */
export async function trimControlLog(runtimeDirectory: string): Promise<void> {
  try {
    await using file = await openForeign(join(runtimeDirectory, CONTROL_LOG), 'write')
    // QEMU appends, so it goes on at the new end.
    if ((await file.stat()).size > MAX_BYTES) await file.truncate()
  } catch {
    // Its machine is gone, of an older version, or put something else there.
  }
}

async function readLast(path: string): Promise<string> {
  try {
    await using file = await openForeign(path, 'read')
    const { size } = await file.stat()
    const start = Math.max(0, size - READ_BYTES)
    const buffer = Buffer.alloc(Math.min(size, READ_BYTES))
    const { bytesRead } = await file.read(buffer, 0, buffer.length, start)
    return buffer.subarray(0, bytesRead).toString('utf8')
  } catch {
    return ''
  }
}

interface LoggedEvent {
  readonly event?: unknown
  readonly data?: Readonly<Record<string, unknown>>
  readonly timestamp?: { readonly seconds?: unknown }
}

/** Where it does not say, it may have been just now. */
function timeOf(seconds: unknown): Date {
  return Number.isSafeInteger(seconds) ? new Date(Number(seconds) * 1000) : new Date()
}

/** The first line may be cut, the last one unfinished. */
function eventIn(line: string): LoggedEvent[] {
  try {
    const message: unknown = JSON.parse(line)
    return typeof message === 'object' && message !== null && 'event' in message ? [message] : []
  } catch {
    return []
  }
}
