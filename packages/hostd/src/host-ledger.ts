/**
 * What all guests of this host share: names, published ports, vCPUs, memory and disk. Whoever starts or makes one claims first, in one turn of
 * the event loop, so that two requests cannot both have what is there once.
 */
import { CloisterError } from '@cloister/protocol/error'
import type { StartRequest } from '@cloister/protocol/hostd-api'
import type { QuotaAnswer } from '@cloister/protocol/hostd-vm-api'
import type { LiveGuest } from './capacity.ts'
import type { QuotaFile } from './quota-file.ts'

type Ports = StartRequest['ports']

/** A workload or machine that exists. */
export interface Tenant {
  readonly kind: 'workload' | 'vm'
  readonly name: string
  readonly state: string
  /** Whether its QEMU runs, or is about to. */
  readonly isLive: boolean
  readonly ports: Ports
  readonly cpus: number
  readonly memoryMiB: number
  /** Disk that lasts; zero for a workload. */
  readonly diskMiB: number
  readonly pid: number | undefined
}

/** What one request is about to take; absent members are not touched. */
export interface Claim {
  readonly kind: Tenant['kind']
  readonly name: string
  /** Whether the name is new. */
  readonly isNew: boolean
  /** For a guest that is to run. */
  readonly run?: Pick<Tenant, 'ports' | 'cpus' | 'memoryMiB'>
  /** Disk beyond what the tenant has already. */
  readonly diskMiB?: number
}

export class HostLedger {
  readonly #quota: QuotaFile
  readonly #sources: (() => readonly Tenant[])[] = []
  readonly #claims = new Set<Claim>()

  constructor(quota: QuotaFile) {
    this.#quota = quota
  }

  /** Adds whose tenants count. */
  watch(source: () => readonly Tenant[]): void {
    this.#sources.push(source)
  }

  /**
   * Holds what a request takes until it is disposed of; by then the tenant itself stands for it, or nothing came of it.
   *
   * @throws CloisterError `workload.name-taken`, `vm.name-taken`, `host.port-taken`, `host.quota-exceeded`
   */
  claim(claim: Claim): Disposable {
    if (claim.isNew) this.#checkName(claim)
    if (claim.run !== undefined) this.#checkPorts(claim.run.ports)
    this.#checkQuota(claim)
    this.#claims.add(claim)
    return { [Symbol.dispose]: () => void this.#claims.delete(claim) }
  }

  /** Absent: nobody has that name. */
  kindOf(name: string): Tenant['kind'] | undefined {
    return this.#tenants().find((tenant) => tenant.name === name)?.kind
  }

  /** Guests that run, for the look at the host's free memory. */
  liveGuests(): LiveGuest[] {
    return this.#tenants()
      .filter(({ isLive }) => isLive)
      .map(({ memoryMiB, pid }) => ({ memoryMiB, pid }))
  }

  quota(): QuotaAnswer {
    const tenants = this.#tenants()
    const live = tenants.filter(({ isLive }) => isLive)
    return {
      set: this.#quota.quota,
      limit: this.#quota.limit,
      used: {
        cpus: total(live, 'cpus'),
        memoryMiB: total(live, 'memoryMiB'),
        diskMiB: total(tenants, 'diskMiB'),
      },
    }
  }

  #tenants(): readonly Tenant[] {
    return this.#sources.flatMap((source) => source())
  }

  #checkName({ kind, name }: Claim): void {
    const taken = this.#tenants().find((tenant) => tenant.name === name)
    if (taken === undefined && ![...this.#claims].some((claim) => claim.name === name)) return
    const noun = taken?.kind === 'vm' ? 'VM' : 'workload'
    throw new CloisterError(kind === 'vm' ? 'vm.name-taken' : 'workload.name-taken', {
      where: name,
      ...(taken && { why: `a ${noun} of that name exists; its state is ${taken.state}` }),
    })
  }

  #checkPorts(ports: Ports): void {
    const live = this.#tenants().filter(({ isLive }) => isLive)
    const taken = [
      ...live.map((tenant) => tenant.ports),
      ...this.#claimed().map((run) => run.ports),
    ]
    const used = new Set(taken.flat().map(({ host }) => host))
    const clash = ports.find(({ host }) => used.has(host))
    if (clash !== undefined)
      throw new CloisterError('host.port-taken', {
        where: `${clash.address}:${clash.host}`,
        why: 'another workload or VM publishes it',
      })
  }

  #checkQuota({ run, diskMiB = 0 }: Claim): void {
    const { limit, used } = this.quota()
    const claimed = this.#claimed()
    const wanted = {
      cpus: run === undefined ? 0 : run.cpus + total(claimed, 'cpus'),
      memoryMiB: run === undefined ? 0 : run.memoryMiB + total(claimed, 'memoryMiB'),
      diskMiB:
        diskMiB === 0
          ? 0
          : diskMiB + [...this.#claims].reduce((sum, c) => sum + (c.diskMiB ?? 0), 0),
    }
    for (const [what, unit] of QUOTAS) {
      const most = limit[what]
      if (most === undefined || wanted[what] === 0 || used[what] + wanted[what] <= most) continue
      throw new CloisterError('host.quota-exceeded', {
        where: unit,
        expected: `at most ${most} for all guests`,
        received: `${used[what]} in use, ${wanted[what]} more asked for`,
      })
    }
  }

  #claimed(): NonNullable<Claim['run']>[] {
    return [...this.#claims].map(({ run }) => run).filter((run) => run !== undefined)
  }
}

const QUOTAS = [
  ['cpus', 'vCPUs'],
  ['memoryMiB', 'memory, MiB'],
  ['diskMiB', 'disks of VMs, MiB'],
] as const

function total<Member extends string>(
  from: readonly Readonly<Record<Member, number>>[],
  member: Member,
): number {
  return from.reduce((sum, { [member]: value }) => sum + value, 0)
}
