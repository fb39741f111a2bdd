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

const CGROUPS = '/sys/fs/cgroup'

/** Slots of one kind (`sev`, `sev_es`, `tdx`) by the cgroup controller `misc`. Absent: the kernel lists none. */
export async function keySlots(view: HostView, kind: string): Promise<Slots | undefined> {
  const capacity = numberIn(await view.readFile(`${CGROUPS}/misc.capacity`), kind)
  if (capacity === undefined) return undefined
  const used = numberIn(await view.readFile(`${CGROUPS}/misc.current`), kind)
  return { capacity, ...(used !== undefined && { used }) }
}

export interface SlotLimit {
  readonly cgroup: string
  readonly most: number
  readonly used: number
}

/**
 * The cgroup, this process's or one above it, whose own limit leaves no slot of this kind. Absent: none does.
 * QEMU is started in our cgroup and takes its slots from all of them (cgroup-v2.rst, "Misc").
 */
export async function exhaustedCgroup(
  view: HostView,
  kind: string,
): Promise<SlotLimit | undefined> {
  const own = /^0::(\/.*)$/m.exec((await view.readFile('/proc/self/cgroup')) ?? '')?.[1] ?? '/'
  const names = own.split('/').filter((name) => name !== '')
  for (let depth = names.length; depth > 0; depth--) {
    const cgroup = `/${names.slice(0, depth).join('/')}`
    // `max` is no number: no limit.
    const most = numberIn(await view.readFile(`${CGROUPS}${cgroup}/misc.max`), kind)
    if (most === undefined) continue
    const used = numberIn(await view.readFile(`${CGROUPS}${cgroup}/misc.current`), kind) ?? 0
    if (used >= most) return { cgroup, most, used }
  }
  return undefined
}

function numberIn(text: string | undefined, kind: string): number | undefined {
  const line = text?.split('\n').find((candidate) => candidate.startsWith(`${kind} `))
  const value = line?.slice(kind.length + 1).trim()
  return value !== undefined && /^[0-9]{1,9}$/.test(value) ? Number(value) : undefined
}
