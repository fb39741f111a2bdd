/** All workloads of this host by name. */
import { CloisterError } from '@cloister/protocol/error'
import { isEnded, type StartRequest } from '@cloister/protocol/hostd-api'
import type { Backend, VmFolders } from './backend.ts'
import { checkCapacity, type LiveGuest } from './capacity.ts'
import { ChangeFeed } from './change-feed.ts'
import type { RecordStore } from './record-store.ts'
import { Workload, type WorkloadContext } from './workload.ts'

export interface WorkloadsOptions {
  readonly backend: Backend
  readonly store: RecordStore
  readonly vmFolders: VmFolders
  /** Its disk must have room. */
  readonly home: string
  readonly log: (message: string) => void
}

export class Workloads {
  readonly changes = new ChangeFeed()
  readonly #options: WorkloadsOptions
  readonly #context: WorkloadContext
  readonly #byName = new Map<string, Workload>()
  /** Names and ports of starts that are being checked. */
  readonly #claims = new Set<StartRequest>()

  constructor(options: WorkloadsOptions) {
    this.#options = options
    this.#context = { ...options, changed: ({ id }) => this.changes.changed(id) }
  }

  /** Takes up the workloads on disk; live ones go on. */
  async resume(): Promise<void> {
    const { backend, store, vmFolders, log } = this.#options
    const { workloads, unreadable } = await store.load()
    for (const id of unreadable)
      log(new CloisterError('hostd.state-unreadable', { why: store.folder(id) }).message)
    const alive = workloads.filter(({ record }) => record.vm !== undefined)
    const kept = new Set([...alive.map(({ record }) => record.view.id), ...unreadable])
    for (const id of await backend.clearLeftovers(vmFolders, kept))
      log(`${id}: cleared what a VM left behind`)
    for (const { record, initdata } of workloads) {
      const workload = new Workload(this.#context, record, initdata)
      this.#byName.set(record.view.name, workload)
      if (!isEnded(record.view.state)) workload.run()
    }
  }

  /**
   * Checks a request, writes the workload down and lets it start.
   *
   * @throws CloisterError `workload.*`, `initdata.*`, `guest-image.*`, `host.*`
   */
  async start(request: StartRequest): Promise<Workload> {
    this.#claim(request)
    try {
      const { planStart } = await import('./start-plan.ts')
      const { backend, store, home } = this.#options
      const { manifest } = await backend.loadGuestImage(request.guestImage)
      const { record, initdata } = planStart(request, manifest.imageVersion, new Date())
      await checkCapacity(request, this.#liveGuests(), home)
      await backend.checkPorts(
        request.ports.map(({ address, host, guest }) => ({ hostAddress: address, host, guest })),
      )
      await store.create(record, initdata)
      const workload = new Workload(this.#context, record, initdata)
      this.#byName.set(request.name, workload)
      workload.run()
      this.changes.changed(record.view.id)
      return workload
    } finally {
      this.#claims.delete(request)
    }
  }

  /** @throws CloisterError `workload.not-found` */
  get(name: string): Workload {
    const found = this.#byName.get(name)
    if (found === undefined)
      throw new CloisterError('workload.not-found', { where: name.slice(0, 64) })
    return found
  }

  /** In the order in which they were started. */
  list(): Workload[] {
    return [...this.#byName.values()].sort((a, b) =>
      a.view.createdAt.localeCompare(b.view.createdAt),
    )
  }

  /** @throws CloisterError `workload.not-found`, `workload.still-running` */
  async remove(name: string): Promise<void> {
    const workload = this.get(name)
    if (!isEnded(workload.view.state)) throw new CloisterError('workload.still-running')
    await workload.done
    this.#byName.delete(name)
    await this.#options.store.remove(workload.view.id)
    this.changes.changed(workload.view.id)
  }

  /** Lets go of all guests, which run on. */
  async release(): Promise<void> {
    await Promise.all(this.list().map((workload) => workload.release()))
  }

  #claim(request: StartRequest): void {
    const live = this.list().filter(({ view }) => !isEnded(view.state))
    const taken = this.#byName.get(request.name)
    if (taken !== undefined || [...this.#claims].some(({ name }) => name === request.name))
      throw new CloisterError('workload.name-taken', {
        where: request.name,
        ...(taken && { why: `a workload of that name exists; its state is ${taken.view.state}` }),
      })
    const ports = [...live.map(({ view }) => view.ports), ...[...this.#claims].map((c) => c.ports)]
    const used = new Set(ports.flat().map(({ host }) => host))
    const clash = request.ports.find(({ host }) => used.has(host))
    if (clash !== undefined)
      throw new CloisterError('host.port-taken', {
        where: `${clash.address}:${clash.host}`,
        why: 'another workload publishes it',
      })
    this.#claims.add(request)
  }

  #liveGuests(): LiveGuest[] {
    return this.list()
      .filter(({ view }) => !isEnded(view.state))
      .map(({ view }) => ({ memoryMiB: view.memoryMiB, pid: view.pid }))
  }
}
