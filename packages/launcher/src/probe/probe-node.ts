/** The tree that `cloister doctor` shows: leaves that were looked at, and branches whose state is the worst of theirs. */

/**
 * `pass`: as needed. `warn`: works, worse than it could. `fail`: something that is wanted cannot work. `skip`: does not concern this
 * host. `unknown`: could not be found out.
 */
export type ProbeState = 'pass' | 'warn' | 'fail' | 'skip' | 'unknown'

export interface ProbeLeaf {
  /** Stable, dotted. */
  readonly id: string
  readonly title: string
  readonly state: ProbeState
  /** What was seen, in one line. */
  readonly evidence: string
  /** Why that is no `pass`. Absent for one. */
  readonly reason?: string
  /** Commands or steps that mend it, in order. Empty: nothing to do, or nothing that helps. */
  readonly fix: readonly string[]
}

export interface ProbeBranch {
  readonly id: string
  readonly title: string
  readonly state: ProbeState
  readonly children: readonly ProbeNode[]
}

export type ProbeNode = ProbeLeaf | ProbeBranch

/** From best to worst for the one who reads the tree from the top. */
const ORDER: readonly ProbeState[] = ['skip', 'pass', 'unknown', 'warn', 'fail']

/** A branch over its children; one without any is `skip`. */
export function branch(id: string, title: string, children: readonly ProbeNode[]): ProbeBranch {
  const worst = children.reduce((index, { state }) => Math.max(index, ORDER.indexOf(state)), 0)
  return { id, title, state: ORDER[worst] ?? 'unknown', children }
}

export interface LeafName {
  readonly id: string
  readonly title: string
}

export function pass(name: LeafName, evidence: string): ProbeLeaf {
  return { ...name, state: 'pass', evidence, fix: [] }
}

/** A leaf that is no `pass`. */
export function finding(
  name: LeafName,
  state: Exclude<ProbeState, 'pass'>,
  evidence: string,
  reason: string,
  ...fix: string[]
): ProbeLeaf {
  return { ...name, state, evidence, reason, fix }
}

/** A limit of a cgroup that leaves no encryption key. */
export function cgroupFinding(
  name: LeafName,
  kind: string,
  { cgroup, most, used }: { readonly cgroup: string; readonly most: number; readonly used: number },
): ProbeLeaf {
  return finding(
    name,
    'fail',
    `${used} of ${most} in use in cgroup ${cgroup.slice(0, 100)}`,
    'the misc controller of that cgroup lets it have no more',
    `echo "${kind} max" > /sys/fs/cgroup${cgroup.slice(0, 100)}/misc.max`,
    'stop another confidential VM',
  )
}

/** All leaves of a tree, in order. */
export function leavesOf(nodes: readonly ProbeNode[]): ProbeLeaf[] {
  return nodes.flatMap((node) => ('children' in node ? leavesOf(node.children) : [node]))
}
