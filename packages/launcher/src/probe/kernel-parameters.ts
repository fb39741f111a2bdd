/** Switches of the host's kernel modules, and slots of encryption keys. */
import type { HostView } from './host-view.ts'

/** A boolean module parameter. Absent: the module is not loaded or has no such parameter. */
export async function moduleSwitch(
  view: HostView,
  module: string,
  parameter: string,
): Promise<boolean | undefined> {
  const text = await view.readFile(`/sys/module/${module}/parameters/${parameter}`)
  if (text === undefined) return undefined
  return text === 'Y' || text === '1'
}

export interface Slots {
  readonly capacity: number
  /** Absent: the kernel does not say. */
  readonly used?: number
}

/** Slots of one kind (`sev`, `sev_es`, `tdx`) by the cgroup controller `misc`. Absent: the kernel lists none. */
export async function keySlots(view: HostView, kind: string): Promise<Slots | undefined> {
  const capacity = numberIn(await view.readFile('/sys/fs/cgroup/misc.capacity'), kind)
  if (capacity === undefined) return undefined
  const used = numberIn(await view.readFile('/sys/fs/cgroup/misc.current'), kind)
  return { capacity, ...(used !== undefined && { used }) }
}

function numberIn(text: string | undefined, kind: string): number | undefined {
  const line = text?.split('\n').find((candidate) => candidate.startsWith(`${kind} `))
  const value = line?.slice(kind.length + 1).trim()
  return value !== undefined && /^[0-9]{1,9}$/.test(value) ? Number(value) : undefined
}
