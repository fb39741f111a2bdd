/** All machines of this host by name. */
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { CloisterError } from '@cloister/protocol/error'
import {
  isAtRest,
  type DefineVmRequest,
  type MemoryDump,
  type VmView,
} from '@cloister/protocol/hostd-vm-api'
import type { Backend, VmFolders } from '../backend.ts'
import { checkCapacity, checkCpus } from '../capacity.ts'
import type { ChangeFeed } from '../change-feed.ts'
import type { HostLedger, Tenant } from '../host-ledger.ts'
import { Machine, type MachineContext } from './machine.ts'
import type { MachineStore } from './machine-store.ts'

export interface MachinesOptions {
  readonly backend: Backend
  readonly store: MachineStore
  readonly vmFolders: VmFolders
  readonly ledger: HostLedger
  readonly changes: ChangeFeed
  /** Its disk must have room. */
  readonly home: string
  readonly log: (message: string) => void
}

/** Folder below hostd's own for copies of memory. */
export const DUMPS = 'dumps'

export class Machines {
  readonly #options: MachinesOptions
  readonly #context: MachineContext
  readonly #byName = new Map<string, Machine>()

  constructor(options: MachinesOptions) {
    this.#options = options
    options.ledger.watch(() => this.#tenants())
    this.#context = {
      ...options,
      changed: ({ id }) => options.changes.changed(id),
      claimRun: (view) => this.#claimRun(view),
      claimDisk: async ({ name }, diskMiB) =>
        options.ledger.claim({ kind: 'vm', name, isNew: false, diskMiB }),
    }
  }

  /** Reads the machines on disk. @returns ids whose QEMUs are theirs, and must not be cleared */
  async load(): Promise<readonly string[]> {
    const { store, log } = this.#options
    const { records, unreadable } = await store.load()
    for (const id of unreadable)
      log(new CloisterError('hostd.state-unreadable', { why: store.folder(id) }).message)
    for (const record of records)
      this.#byName.set(record.view.name, new Machine(this.#context, record))
    const alive = this.list().filter((machine) => machine.isAlive)
    return [...alive.map(({ view }) => view.id), ...unreadable]
  }

  /** Goes on with those that were not at rest. */
  resume(): void {
    for (const machine of this.list()) machine.resume()
  }

  /**
   * Makes a machine with all its files; it is not started.
   *
   * @param signal - gives up and leaves nothing
   * @throws CloisterError `vm.name-taken`, `disk.*`, `host.*`, `guest-image.*`, `initdata.*`, `firmware.missing`, `secure-boot.*`, `vtpm.*`, `seed.*`
   */
  async define(request: DefineVmRequest, signal: AbortSignal): Promise<Machine> {
    const { backend, store, home, ledger, changes } = this.#options
    const { checkDiskSpace, planMachine } = await import('./define-machine.ts')
    const plan = await planMachine(backend, request, signal)
    const { id, name, diskMiB } = plan.record.view
    using _claim = ledger.claim({ kind: 'vm', name, isNew: true, diskMiB })
    await checkDiskSpace(request.image.path, home)
    await store.create(plan.record, (folder) => plan.fill(folder))
    const machine = new Machine(this.#context, plan.record)
    this.#byName.set(name, machine)
    machine.noteDefined()
    changes.changed(id)
    return machine
  }

  /** @throws CloisterError `vm.not-found` */
  get(name: string): Machine {
    const found = this.#byName.get(name)
    if (found === undefined) throw new CloisterError('vm.not-found', { where: name.slice(0, 64) })
    return found
  }

  /** In the order in which they were made. */
  list(): Machine[] {
    return [...this.#byName.values()].sort((a, b) =>
      a.view.createdAt.localeCompare(b.view.createdAt),
    )
  }

  /** @throws CloisterError `vm.not-found`, `vm.still-running`, `vm.busy` */
  async remove(name: string): Promise<void> {
    const machine = this.get(name)
    await machine.remove()
    this.#byName.delete(name)
    this.#options.changes.changed(machine.view.id)
  }

  /**
   * Writes what the host can read of a machine's memory to a new file under hostd's folder, which the caller removes.
   *
   * @throws CloisterError `vm.not-found`, `vm.not-running`, `vm.dump-unsupported`, `host.disk-full`
   */
  async dumpMemory(name: string, signal: AbortSignal): Promise<MemoryDump> {
    const machine = this.get(name)
    const folder = join(this.#options.home, DUMPS)
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const file = join(folder, `${machine.view.id}-${Date.now()}.ram`)
    try {
      return await machine.dumpMemory(file, signal)
    } catch (error) {
      // Half of a guest's memory is nobody's to keep.
      await rm(file, { force: true })
      throw error
    }
  }

  /** Lets go of all machines, which run on. */
  async release(): Promise<void> {
    await Promise.all(this.list().map((machine) => machine.release()))
  }

  async #claimRun({ name, ports, cpus, memoryMiB }: VmView): Promise<Disposable> {
    const { backend, ledger, home } = this.#options
    checkCpus(cpus)
    const claim = ledger.claim({
      kind: 'vm',
      name,
      isNew: false,
      run: { ports, cpus, memoryMiB },
    })
    try {
      await checkCapacity({ memoryMiB, scratchMiB: LEAST_FREE_MIB }, ledger.liveGuests(), home)
      await backend.checkPorts(
        ports.map(({ address, host, guest }) => ({ hostAddress: address, host, guest })),
      )
      return claim
    } catch (error) {
      claim[Symbol.dispose]()
      throw error
    }
  }

  #tenants(): Tenant[] {
    return this.list().map(({ view }) => ({
      kind: 'vm',
      name: view.name,
      state: view.state,
      isLive: !isAtRest(view.state),
      ports: view.ports,
      cpus: view.cpus,
      memoryMiB: view.memoryMiB,
      diskMiB: view.diskMiB,
      pid: view.pid,
    }))
  }
}

/** A guest writes to its disk as soon as it boots. */
const LEAST_FREE_MIB = 512
