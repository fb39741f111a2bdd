/** All workloads of this host by name. */
import { CloisterError } from '@cloister/protocol/error'
import { isEnded, type StartRequest } from '@cloister/protocol/hostd-api'
import type { Backend, VmFolders } from './backend.ts'
import { checkCapacity, checkCpus } from './capacity.ts'
import type { ChangeFeed } from './change-feed.ts'
import type { HostLedger, Tenant } from './host-ledger.ts'
import type { RecordStore, StoredWorkload } from './record-store.ts'
import { Workload, type WorkloadContext } from './workload.ts'

export interface WorkloadsOptions {
  readonly backend: Backend
  readonly store: RecordStore
  readonly vmFolders: VmFolders
  readonly ledger: HostLedger
  readonly changes: ChangeFeed
  /** Its disk must have room. */
  readonly home: string
  readonly log: (message: string) => void
}

export class Workloads {
  readonly changes: ChangeFeed
  readonly #options: WorkloadsOptions
  readonly #context: WorkloadContext
  readonly #byName = new Map<string, Workload>()

  constructor(options: WorkloadsOptions) {
    this.#options = options
    this.changes = options.changes
    options.ledger.watch(() => this.#tenants())
    this.#context = { ...options, changed: ({ id }) => this.changes.changed(id) }
  }

  /** Reads the workloads on disk. @returns ids whose VMs are theirs, and must not be cleared */
  async load(): Promise<readonly string[]> {
    const { store, log } = this.#options
    const { workloads, unreadable } = await store.load()
    for (const id of unreadable)
      log(new CloisterError('hostd.state-unreadable', { why: store.folder(id) }).message)
    for (const { record, initdata } of workloads) this.#add(record, initdata)
    const alive = workloads.filter(({ record }) => record.vm !== undefined)
    return [...alive.map(({ record }) => record.view.id), ...unreadable]
  }

  /** Goes on with those that had not ended. */
  resume(): void {
    for (const workload of this.list()) if (!isEnded(workload.view.state)) workload.run()
  }

  /**
   * Checks a request, writes the workload down and lets it start.
   *
   * @throws CloisterError `workload.*`, `initdata.*`, `guest-image.*`, `host.*`
   */
  async start(request: StartRequest): Promise<Workload> {
    const { backend, store, home, ledger } = this.#options
    checkCpus(request.cpus)
    using _claim = ledger.claim({ kind: 'workload', name: request.name, isNew: true, run: request })
    const { planStart } = await import('./start-plan.ts')
    const { manifest } = await backend.loadGuestImage(request.guestImage)
    const { record, initdata } = planStart(request, manifest.imageVersion, new Date())
    await checkCapacity(request, ledger.liveGuests(), home)
    await backend.checkPorts(
      request.ports.map(({ address, host, guest }) => ({ hostAddress: address, host, guest })),
    )
    await store.create(record, initdata)
    const workload = this.#add(record, initdata)
    workload.run()
    this.changes.changed(record.view.id)
    return workload
  }

  /** @throws CloisterError `workload.not-found` */
  get(name: string): Workload {
    const found = this.#byName.get(name)
    if (found !== undefined) return found
    const where = name.slice(0, 64)
    if (this.#options.ledger.kindOf(name) !== 'vm')
      throw new CloisterError('workload.not-found', { where })
    throw new CloisterError('workload.not-found', {
      where,
      why: 'it is a VM',
      fix: [`cloister vm show ${where}`, 'cloister help vm stop'],
    })
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

  #add(record: StoredWorkload['record'], initdata: Uint8Array): Workload {
    const workload = new Workload(this.#context, record, initdata)
    this.#byName.set(record.view.name, workload)
    return workload
  }

  #tenants(): Tenant[] {
    return this.list().map(({ view }) => ({
      kind: 'workload',
      name: view.name,
      state: view.state,
      isLive: !isEnded(view.state),
      ports: view.ports,
      cpus: view.cpus,
      memoryMiB: view.memoryMiB,
      diskMiB: 0,
      pid: view.pid,
    }))
  }
}
