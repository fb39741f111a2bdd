/** Boots that attacks make: of a workload by hostd, and of a bare VM by the launcher, as whoever owns a host can. */
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { deathError } from '@cloister/hostd/guest-death'
import { MANIFEST_FILE, type GuestImage } from '@cloister/image/images'
import { openVmHost } from '@cloister/launcher/open-vm-host'
import { startVm } from '@cloister/launcher/start-vm'
import type { Vm, VmSpec } from '@cloister/launcher/vm-spec'
import { CloisterError } from '@cloister/protocol/error'
import { brokerAddress } from '../owner/pinned-broker.ts'
import { awaitRunning } from '../workload/await-running.ts'
import type { Battlefield, Refusal } from './attack.ts'

/** A guest that has neither started nor ended by then hangs. */
export const BOOT_TIMEOUT_MS = 180_000

export interface HostdBoot {
  /** As in the initdata. */
  readonly name: string
  readonly initdata: Uint8Array
  readonly guestImage: string
}

/** Starts a workload by hostd. @returns why it came to nothing; its code is undefined when it runs */
export async function bootWorkload(field: Battlefield, boot: HostdBoot): Promise<Refusal> {
  const hostd = await field.hostd()
  const { name, initdata, guestImage } = boot
  const since = Date.now()
  await hostd.start(
    {
      name,
      initdata: Buffer.from(initdata).toString('base64'),
      guestImage,
      tee: 'simulated',
      cpus: 1,
      memoryMiB: 512,
      scratchMiB: 256,
      targets: {
        broker: { tcp: brokerAddress(field.broker.pinned) },
        registry: { layout: field.layout },
      },
    },
    { signal: field.signal },
  )
  try {
    await awaitRunning(name, {
      hostd,
      broker: field.broker,
      directories: field.directories,
      signal: AbortSignal.any([field.signal, AbortSignal.timeout(BOOT_TIMEOUT_MS)]),
    })
    return { code: undefined, by: 'broker' }
  } catch (error) {
    return await refusalSince(field, since, CloisterError.from(error))
  } finally {
    await hostd.stop(name, { force: true }).catch(() => undefined)
    await hostd.remove(name).catch(() => undefined)
  }
}

/** The broker's own reason, which the host is not told. */
async function refusalSince(
  { broker }: Battlefield,
  since: number,
  seen: CloisterError,
): Promise<Refusal> {
  const entries = await broker.audit({ limit: 20 })
  const refused = entries.find(
    ({ kind, outcome, time }) => kind !== 'admin' && outcome === 'refused' && time >= since,
  )
  return {
    code: refused?.code ?? seen.code,
    by: refused === undefined || refused.kind === 'guest' ? 'guest' : 'broker',
  }
}

/** How a copy of the guest image differs from it. */
export interface ImageChange {
  /** Added to the simulated command line. */
  readonly commandLine?: string
  /** Bytes added to the end of a file. */
  readonly append?: { readonly file: 'kernel' | 'initrd'; readonly bytes: Uint8Array }
}

/** Makes the host's own copy of the guest image, for as long as `use` takes. @param use - gets its name */
export async function withChangedImage(
  { directories, guestImage }: Pick<Battlefield, 'directories' | 'guestImage'>,
  change: ImageChange,
  use: (name: string) => Promise<Refusal>,
): Promise<Refusal> {
  const name = `tampered-${randomBytes(4).toString('hex')}`
  const directory = join(directories.images, name)
  try {
    await mkdir(directory)
    await writeChanged(guestImage, directory, change)
    return await use(name)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

async function writeChanged(
  { directory: from, manifest }: GuestImage,
  to: string,
  { commandLine, append }: ImageChange,
): Promise<void> {
  const { kernel, initrd, root, firmware } = manifest
  for (const { file } of [kernel, initrd, root, ...(firmware.snp ? [firmware.snp] : [])])
    await symlink(join(from, file), join(to, file))
  if (append !== undefined) {
    const { file } = manifest[append.file]
    await rm(join(to, file))
    await writeFile(join(to, file), Buffer.concat([await readFile(join(from, file)), append.bytes]))
  }
  const words = [
    manifest.commandLines.simulated,
    ...(commandLine === undefined ? [] : [commandLine]),
  ]
  const commandLines = { ...manifest.commandLines, simulated: words.join(' ') }
  await writeFile(
    join(to, MANIFEST_FILE),
    JSON.stringify({ ...manifest, name: basename(to), commandLines }),
  )
}

/** What a lying host starts a VM with. */
export type Lies = Partial<VmSpec> & Pick<VmSpec, 'hostData'>

type BootField = Pick<Battlefield, 'directories' | 'guestImage' | 'signal'>

/** Starts a VM by the launcher alone: nobody serves its ports. */
export async function startAlone(
  { directories, guestImage, signal }: BootField,
  lies: Lies,
): Promise<Vm> {
  const id = `atk-${randomBytes(3).toString('hex')}`
  const { paths, manifest } = guestImage
  return await startVm(
    {
      id,
      runtimeDirectory: join(directories.runtime, id),
      stateDirectory: join(directories.hostd, id),
      tee: 'simulated',
      mode: 'simulated',
      boot: {
        kernel: paths.kernel,
        initrd: paths.initrd,
        root: paths.root,
        ...(paths.snpFirmware !== undefined && { firmware: paths.snpFirmware }),
      },
      commandLine: manifest.commandLines.simulated,
      cpus: 1,
      memoryMiB: 512,
      scratchMiB: 128,
      ports: [],
      ...lies,
    },
    await openVmHost(directories),
    signal,
  )
}

/** Boots by the launcher alone, and gives the code with which the guest ended itself. */
export async function bootAlone(field: BootField, lies: Lies): Promise<Refusal> {
  await using vm = await startAlone(field, lies)
  return await endOf(vm, field.signal)
}

/** Why a guest has ended itself; its code is undefined when it has not in time. */
export async function endOf(vm: Vm, signal: AbortSignal): Promise<Refusal> {
  const timeout = sleep(BOOT_TIMEOUT_MS, undefined, { signal, ref: false })
  const exit = await Promise.race([vm.exited, timeout])
  return { code: exit && deathError(exit, undefined).code, by: 'guest' }
}
