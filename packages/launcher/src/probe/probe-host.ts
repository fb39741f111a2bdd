/** What this host can do, and what mends what it cannot: the capability probe behind `cloister doctor` and `--tee auto`. */
import { join } from 'node:path'
import type { Directories } from '@cloister/protocol/directories'
import { TeeSchema } from '@cloister/protocol/hostd-api'
import { VmTeeSchema } from '@cloister/protocol/hostd-vm-api'
import { recallAccelerator } from '../accelerator.ts'
import { DRIVERS } from '../drivers/table.ts'
import { acceleratorCacheFile, qemuCacheFile } from '../open-vm-host.ts'
import { TEE_IDS, type AcceleratorChoice, type TeeId } from '../vm-spec.ts'
import {
  diskLeaf,
  kvmLeaf,
  memoryLeaf,
  programLeaves,
  qemuLeaf,
  virtualisationLeaf,
} from './host-leaves.ts'
import { localHostView, type HostView } from './host-view.ts'
import { machineLeaves } from './machine-leaves.ts'
import {
  branch,
  finding,
  leavesOf,
  pass,
  type ProbeBranch,
  type ProbeLeaf,
  type ProbeNode,
} from './probe-node.ts'

export interface TeeVerdict {
  readonly tee: TeeId
  readonly canRun: boolean
  /** Nothing mends it here: the TEE is of another vendor. */
  readonly needsOtherHost: boolean
  /** Ids of the leaves that stand in the way. */
  readonly missing: readonly string[]
}

/** JSON with a version: members are added, never changed. */
export interface HostProbe {
  readonly version: 1
  readonly tree: readonly ProbeNode[]
  readonly tees: readonly TeeVerdict[]
  readonly canRun: readonly TeeId[]
  /** `can run: simulated; cannot run: snp (3 fixes), …` */
  readonly verdict: string
}

export interface ProbeRequest {
  readonly directories: Directories
  readonly signal?: AbortSignal
  /** Absent: this host. */
  readonly view?: HostView
  /** As found before. Absent: what is remembered of this boot. */
  readonly accelerator?: AcceleratorChoice
}

/** Looks at everything at once; starts no guest, so it takes as long as asking QEMU for its version. */
export async function probeHost(request: ProbeRequest): Promise<HostProbe> {
  const view = request.view ?? localHostView(qemuCacheFile(request.directories))
  request.signal?.throwIfAborted()
  const [host, machines, ...teeBranches] = await Promise.all([
    hostBranch(view, request),
    machineLeaves(view).then((leaves) => branch('vm', 'Virtual machines', leaves)),
    ...TEE_IDS.map((tee) => teeLeaves(tee, view, request)),
  ])
  request.signal?.throwIfAborted()
  const tees = TEE_IDS.map((tee, index) => judgeTee(tee, host, teeBranches[index]))
  const canRun = tees.filter((verdict) => verdict.canRun).map(({ tee }) => tee)
  const teeBranch = branch('tee', 'Confidential computing', teeBranches)
  return { version: 1, tree: [host, machines, teeBranch], tees, canRun, verdict: verdictLine(tees) }
}

async function hostBranch(view: HostView, request: ProbeRequest): Promise<ProbeBranch> {
  const { directories } = request
  const leaves = await Promise.all([
    virtualisationLeaf(view),
    accelerator(view, request).then((choice) => kvmLeaf(view, choice)),
    qemuLeaf(view),
    memoryLeaf(view),
    diskLeaf(view, directories.home),
    imageLeaf(view, directories.images),
  ])
  return branch('host', 'Host', [...leaves, ...(await programLeaves(view))])
}

async function teeLeaves(
  tee: TeeId,
  view: HostView,
  { directories }: ProbeRequest,
): Promise<ProbeBranch> {
  const { title } = DRIVERS[tee]
  const leaves = await DRIVERS[tee].probe(view, join(directories.images, 'base'))
  const isForeign = leaves.some(({ state }) => state === 'skip')
  const isLacking = leaves.some(({ state }) => state === 'fail')
  const offers = isForeign ? [] : offerLeaves(tee, isLacking)
  return branch(`tee.${tee}`, title, [...leaves, ...offers])
}

const OFFERED: { readonly workloads: readonly string[]; readonly vms: readonly string[] } = {
  workloads: TeeSchema.options,
  vms: VmTeeSchema.options,
}

/** A TEE may be of use to one kind of guest alone, or its driver to none yet. */
function offerLeaves(tee: TeeId, isLacking: boolean): ProbeLeaf[] {
  if (OFFERED.workloads.includes(tee)) return []
  const name = { id: `${tee}.workloads`, title: 'Workloads' }
  if (OFFERED.vms.includes(tee)) {
    // What nothing can run under needs no word of what could.
    if (isLacking) return []
    const reason = `containers do not run under it: --tee ${OFFERED.workloads.join(' or ')}`
    return [finding(name, 'warn', 'VMs only', reason, `cloister vm create --tee ${tee}`)]
  }
  const reason = 'the driver is there, but neither hostd nor the guest image offers this TEE yet'
  const fix = `use --tee ${OFFERED.workloads.join(' or ')}`
  return [finding(name, 'fail', 'not offered', reason, fix)]
}

async function accelerator(
  view: HostView,
  { accelerator: given, directories }: ProbeRequest,
): Promise<AcceleratorChoice | undefined> {
  if (given !== undefined) return given
  const qemu = await view.qemu()
  return qemu && recallAccelerator(qemu, acceleratorCacheFile(directories))
}

async function imageLeaf(view: HostView, images: string): Promise<ProbeLeaf> {
  const name = { id: 'guest-image', title: 'Guest image' }
  const path = join(images, 'base')
  if ((await view.readFile(join(path, 'manifest.json'))) !== undefined) return pass(name, path)
  const build = 'cloister guest-image build'
  return finding(name, 'warn', 'not built', 'it is built when it is needed first', build)
}

/** A hardware TEE needs KVM that ran a guest; emulation does for the simulated one. */
function judgeTee(tee: TeeId, host: ProbeBranch, own: ProbeBranch | undefined): TeeVerdict {
  const { isHardware } = DRIVERS[tee]
  const shared = leavesOf(host.children).filter(
    ({ id, state }) => state === 'fail' || (isHardware && id === 'kvm' && state !== 'pass'),
  )
  const wanting = leavesOf(own?.children ?? []).filter(
    ({ state }) => state === 'fail' || state === 'skip',
  )
  const missing = [...shared, ...wanting].map(({ id }) => id)
  const needsOtherHost = wanting.some(({ state }) => state === 'skip')
  return { tee, canRun: missing.length === 0, needsOtherHost, missing }
}

function verdictLine(tees: readonly TeeVerdict[]): string {
  const able = tees.filter(({ canRun }) => canRun).map(({ tee }) => tee)
  const unable = tees
    .filter(({ canRun }) => !canRun)
    .map(({ tee, needsOtherHost, missing }) => {
      const fixes = missing.length === 1 ? '1 fix' : `${missing.length} fixes`
      return `${tee} (${needsOtherHost ? 'another host' : fixes})`
    })
  const line = [`can run: ${able.join(', ') || 'nothing'}`]
  if (unable.length > 0) line.push(`cannot run: ${unable.join(', ')}`)
  return line.join('; ')
}
