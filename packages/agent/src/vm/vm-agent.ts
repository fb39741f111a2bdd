/**
 * The life of a VM's guest: attest once, get the keys of the system disk, open it, and hand the machine over to the VM's own system. The agent
 * stays, on its own root, and answers the host.
 */
import { CloisterError } from '@cloister/protocol/error'
import type { StageName } from '@cloister/protocol/guest-names'
import type { VmWorkload } from '@cloister/protocol/vm-workload'
import { Guest, type GuestParts } from '../guest.ts'
import type { BoundInitdata } from '../initdata-binding.ts'
import { healthMethods } from '../service/agent-service.ts'
import { overridingUnits, type OverridingUnit } from './absent-mounts.ts'
import { cloudConfig } from './cloud-config.ts'
import type { DiskSecrets } from './sealed-disk.ts'

/** What the initrd needs to bring the VM's system up. */
export interface HandOver {
  /** Block device of the root. */
  readonly device: string
  readonly fileSystem: string
  readonly options: string
  /** The first process, a path in that root. */
  readonly init: string
  readonly units: readonly OverridingUnit[]
  /** cloud-init's configuration; absent: the image has none. */
  readonly cloudConfig?: string
}

export interface VmMachine extends GuestParts {
  /** Opens an encrypted disk. @returns its device @throws CloisterError `agent.disk-*` */
  openSealed(
    disk: VmWorkload['vm']['disk'] & { readonly kind: 'sealed' },
    secrets: DiskSecrets,
    onInstall: (share: number) => void,
  ): Promise<string>
  /** The device of a partition of the disk that is not encrypted. @throws CloisterError `agent.disk-missing` */
  partition(number: number): Promise<string>
  /** Settles when the VM's own first process runs. */
  handOver(order: HandOver): Promise<void>
}

/** Parts of the content taken over at the first boot, for those who wait. */
const INSTALL_STAGES: readonly (readonly [share: number, stage: StageName])[] = [
  [0, 'install'],
  [0.25, 'install-25'],
  [0.5, 'install-50'],
  [0.75, 'install-75'],
]

/**
 * Runs until the VM ends, which this never sees.
 *
 * @throws CloisterError what ended it; the VM must end too
 */
export async function runVmAgent(
  machine: VmMachine,
  bound: BoundInitdata<VmWorkload>,
): Promise<void> {
  const guest = new Guest(machine, bound)
  const { vm } = bound.workload
  guest.serveHost(healthMethods())
  await guest.serveLocal(vm.resources, undefined)
  guest
    .telling(bringUp(guest, machine, bound.workload))
    .catch((error: unknown) => void guest.fail(error))
  await guest.until(new Promise(() => undefined))
}

async function bringUp(guest: Guest, machine: VmMachine, { name, vm }: VmWorkload): Promise<void> {
  await guest.attest()
  const seed =
    vm.cloudInit === undefined
      ? undefined
      : await guest.broker.getResource(vm.cloudInit.seed, guest.signal)
  const device = await openDisk(guest, machine, vm.disk)
  guest.reach('ready')
  await machine.handOver({
    device,
    fileSystem: vm.root.fileSystem,
    options: vm.root.options,
    init: vm.root.init,
    units: overridingUnits(vm.absentMounts),
    ...(seed !== undefined && { cloudConfig: cloudConfig(name, seed) }),
  })
  guest.started()
}

async function openDisk(
  guest: Guest,
  machine: VmMachine,
  disk: VmWorkload['vm']['disk'],
): Promise<string> {
  if (disk.kind === 'plain') return machine.partition(disk.partition)
  const get = (path: string) => guest.broker.getResource(path, guest.signal)
  const current = await get(disk.key)
  // Those are there only while the owner changes keys.
  const [next, recovery] = await Promise.all(
    [disk.nextKey, disk.recoveryKey].map((path) => get(path).catch(refusedIsAbsent)),
  )
  guest.reach('keys')
  try {
    return await machine.openSealed(disk, { current, next, recovery }, (share) => {
      for (const [from, stage] of INSTALL_STAGES) if (share >= from) guest.reach(stage)
    })
  } finally {
    for (const secret of [current, next, recovery]) secret?.fill(0)
  }
}

function refusedIsAbsent(error: unknown): undefined {
  if (error instanceof CloisterError && error.code === 'agent.resource-refused') return undefined
  throw error
}
