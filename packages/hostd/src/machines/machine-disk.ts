/** The size of a machine at rest, and the snapshots of its disk. Nothing else may happen to the machine meanwhile, which its caller sees to. */
import { CloisterError } from '@cloister/protocol/error'
import type { ResizeVmRequest, Snapshot, VmView } from '@cloister/protocol/hostd-vm-api'
import type { Backend } from '../backend.ts'
import type { KeptMachine } from './kept-machine.ts'
import type { MachineHistory } from './machine-history.ts'

const MIB = 2 ** 20

export type SnapshotChange = 'create' | 'restore' | 'delete'

const SNAPSHOT_EVENTS = {
  create: 'snapshot-made',
  restore: 'snapshot-restored',
  delete: 'snapshot-deleted',
} as const

export interface MachineDiskOptions {
  readonly file: string
  readonly disks: Backend['machines']
  readonly kept: KeptMachine
  readonly history: MachineHistory
  /** Claims disk beyond what the machine has. @throws CloisterError `host.*` */
  readonly claim: (view: VmView, moreMiB: number) => Promise<Disposable>
}

export class MachineDisk {
  readonly #options: MachineDiskOptions

  constructor(options: MachineDiskOptions) {
    this.#options = options
  }

  /** @throws CloisterError `vm.combination-unfit`, `disk.*`, `host.*` */
  async resize({ cpus, memoryMiB, diskMiB }: ResizeVmRequest): Promise<void> {
    const { kept, history } = this.#options
    const { cpus: cpusBefore, memoryMiB: memoryBefore, diskMiB: diskBefore } = kept.view
    if (diskMiB !== undefined && diskMiB !== diskBefore) await this.#grow(diskMiB)
    const size = {
      cpus: cpus ?? cpusBefore,
      memoryMiB: memoryMiB ?? memoryBefore,
      diskMiB: diskMiB ?? diskBefore,
    }
    try {
      await kept.setSurely(size)
    } catch (error) {
      // The disk has grown; what only the record says has not changed.
      kept.record.view = { ...kept.view, cpus: cpusBefore, memoryMiB: memoryBefore }
      throw error
    }
    history.say({ type: 'resized', detail: size })
  }

  /** Writes down how large it is, whoever changed that. @throws CloisterError `disk.*` */
  async readSize(): Promise<void> {
    const { disks, file, kept } = this.#options
    const { virtualBytes } = await disks.inspectDisk(file)
    await kept.set({ diskMiB: Math.ceil(virtualBytes / MIB) })
  }

  /** @throws CloisterError `disk.*` */
  async snapshots(): Promise<Snapshot[]> {
    const { disks, file } = this.#options
    const found = await disks.listSnapshots(file)
    return found.map(({ name, at }) => ({ name, createdAt: at.toISOString() }))
  }

  /** @throws CloisterError `snapshot.*`, `disk.*` */
  async changeSnapshot(what: SnapshotChange, name: string): Promise<void> {
    const { disks, file, history } = this.#options
    const work = {
      create: () => disks.createSnapshot(file, name),
      restore: () => disks.restoreSnapshot(file, name),
      delete: () => disks.deleteSnapshot(file, name),
    }
    await work[what]()
    if (what === 'restore') await this.readSize()
    history.say({ type: SNAPSHOT_EVENTS[what], detail: { name } })
  }

  async #grow(diskMiB: number): Promise<void> {
    const { disks, file, kept, claim } = this.#options
    const { view } = kept
    if (view.guestDiskMiB !== undefined)
      throw new CloisterError('vm.combination-unfit', {
        received: 'another size for an encrypted disk',
        why: 'its size stands in the initdata: the guest would use no more of it',
        fix: ['make the VM anew with --disk SIZE: cloister vm create'],
      })
    using _claim = await claim(view, Math.max(0, diskMiB - view.diskMiB))
    await disks.resizeDisk(file, diskMiB * MIB)
  }
}
