/** Processes known by pid and start time, from `/proc/<pid>/stat` (proc_pid_stat(5)): a pid that was reused is another process. */
import { readFile } from 'node:fs/promises'
import type { ProcessIdentity } from './vm-spec.ts'

/** The identity of a live process. Absent: there is none of that pid, or it is a zombie. */
export async function identifyProcess(pid: number): Promise<ProcessIdentity | undefined> {
  try {
    return parseStat(pid, await readFile(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return undefined
  }
}

/** The command name (field 2) may hold spaces and parentheses, so fields are counted from the last one. */
export function parseStat(pid: number, text: string): ProcessIdentity | undefined {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const [state] = fields
  const startTime = fields[19]
  if (state === undefined || startTime === undefined || 'ZXx'.includes(state)) return undefined
  return { pid, startTime }
}

export async function isAlive(identity: ProcessIdentity): Promise<boolean> {
  const found = await identifyProcess(identity.pid)
  return found !== undefined && found.startTime === identity.startTime
}

/** Kills that very process and waits until it is gone. Nothing happens when it already is. */
export function killProcess(identity: ProcessIdentity): Promise<void> {
  return kill(identity, identity.pid)
}

/**
 * Kills a process that leads a group, together with what it started in that group. Nothing happens when it is already gone: its number may
 * then be another's.
 */
export function killGroup(leader: ProcessIdentity): Promise<void> {
  return kill(leader, -leader.pid)
}

/** @param target - as kill(2) takes it: a process, or a group by its negative number */
async function kill(identity: ProcessIdentity, target: number): Promise<void> {
  if (!(await isAlive(identity))) return
  try {
    process.kill(target, 'SIGKILL')
  } catch {
    return
  }
  await untilGone(identity)
}

/** Resolves when the process is gone. Absent `timeoutMs`: waits without bound. False when time ran out. */
export async function untilGone(identity: ProcessIdentity, timeoutMs = Infinity): Promise<boolean> {
  const deadline = performance.now() + timeoutMs
  for (let pauseMs = 5; await isAlive(identity); pauseMs = Math.min(pauseMs * 2, 500)) {
    if (performance.now() >= deadline) return false
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
  return true
}

/** Identifies this boot of the host; processes of another boot are gone whatever their pids. */
export async function hostBootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim()
}
