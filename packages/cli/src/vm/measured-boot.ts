/**
 * The owner's side of a measured boot: from a disk image to a boot bundle (a guest image whose kernel is the disk's), the initdata that goes
 * with it, and, with `--encrypt-disk`, a disk that only an attested guest opens.
 */
import { randomBytes } from 'node:crypto'
import { cp, mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bundleName } from '@cloister/image/boot-bundle/bundle-name'
import type { BootBundle } from '@cloister/image/boot-bundle/build-bundle'
import type { DiskSystem } from '@cloister/image/boot-bundle/disk-system'
import type { ReleasePolicyInput } from '@cloister/protocol/broker-admin-api'
import type { Directories } from '@cloister/protocol/directories'
import { CloisterError } from '@cloister/protocol/error'
import type { DefineVmRequestInput, VmTee } from '@cloister/protocol/hostd-vm-api'
import { DISK_SECRET_BYTES } from '@cloister/protocol/sealed-disk/keys'
import { VM_OPENINGS, type VmOpening, type VmWorkloadInput } from '@cloister/protocol/vm-workload'
import type { BrokerClient } from '../owner/broker-client.ts'
import { ensureBroker } from '../owner/local-broker.ts'
import { pinLocalSimulatedRoot } from '../owner/simulated-roots.ts'
import { ensureGuestImage } from '../setup/ensure-guest-image.ts'
import type { MeasuredTee } from '../workload/choose-tee.ts'
import type { PredictedMachine } from '../td-machine/predict-machine.ts'
import { registerGuestImage, registerWorkload, releasePolicyFor } from '../workload/register.ts'
import { brokerTargets } from './broker-targets.ts'
import { requireFitBroker } from './fit-broker.ts'
import { forgetVm } from './forget-vm.ts'
import { requireMeasuredCpus } from './measured-cpus.ts'
import { rawDisk } from './raw-disk.ts'
import { vmResources } from './vm-resources.ts'

/** What the VM's cloud-init is told: it goes to the broker, never to the host. */
export type VmSeed = NonNullable<DefineVmRequestInput['seed']>

export interface MeasuredBootRequest {
  readonly name: string
  readonly tee: VmTee
  /** Absolute path of the disk image. */
  readonly imagePath: string
  /** What lists call it. */
  readonly imageName: string
  readonly cpus: number
  readonly memoryMiB: number
  /** TCP ports of the guest that `connect` may join. */
  readonly guestPorts: readonly number[]
  readonly diskMiB: number | undefined
  readonly encryptDisk: boolean
  /** Absent: any number. */
  readonly instances: number | undefined
  /** TDX only: accepted values of RTMR0, hex. None: what is predicted, where all of it is. */
  readonly rtmr0: readonly string[]
  /** TDX only: signature and features of the host's processors, 8 bytes. */
  readonly processorId: Uint8Array | undefined
  /** TDX only: a folder; see `td-machine/read-machine-files`. Absent: the QEMU here is asked. */
  readonly machineFiles: string | undefined
  /** What the image may leave open. */
  readonly allowed: readonly VmOpening[]
  readonly directories: Directories
  readonly talk: (line: string) => void
  readonly signal: AbortSignal
}

/** What a measured boot changes in the definition of a VM. */
export interface MeasuredDefinition {
  /** The encrypted disk, to copy instead of the image. Absent: the image itself. */
  readonly image?: DefineVmRequestInput['image']
  readonly measured: NonNullable<DefineVmRequestInput['measured']>
  readonly targets: NonNullable<DefineVmRequestInput['targets']>
}

/** A measured boot that is decided; nothing of it is registered yet. Disposing of it removes what was made for the copying. */
export interface MeasuredBoot extends AsyncDisposable {
  /** Lines for the plan: what is registered and which secrets become releasable. */
  readonly plan: readonly string[]
  /** Of a TD, as far as it is known before its first boot. */
  readonly machine: PredictedMachine | undefined
  /** Registers everything at the broker; called after the plan was confirmed. */
  register(seed: VmSeed): Promise<MeasuredDefinition>
  /** Takes back what {@link MeasuredBoot.register} did; nothing when it refused. */
  undo(): Promise<void>
}

interface Made {
  readonly bundle: BootBundle
  readonly bundleDirectory: string
  readonly system: DiskSystem
  /** What is open in the image, as far as its owner allowed it. */
  readonly leftOpen: readonly VmOpening[]
  readonly disk: VmWorkloadInput['vm']['disk']
  /** Of a TD. */
  readonly machine: PredictedMachine | undefined
  /** Absent: the disk is not encrypted. */
  readonly sealed?: { readonly path: string; readonly secret: Buffer }
}

/**
 * Takes the kernel out of the image, makes the bundle and, where asked for, encrypts the disk.
 *
 * @throws CloisterError `vm-boot.*`, `guest-image.*`, `disk.*`
 */
export async function prepareMeasuredBoot(request: MeasuredBootRequest): Promise<MeasuredBoot> {
  const tee = measuredTee(request)
  const work = await mkdtemp(join(tmpdir(), 'cloister-vm-'))
  try {
    const made = await make(request, tee, work)
    let isRegistering = false
    return {
      plan: planOf(request, made),
      machine: made.machine,
      register: async (seed) => {
        const broker = await ensureBroker(request.directories, request.signal)
        await requireFreeName(request.name, broker)
        isRegistering = true
        return await register(request, tee, made, seed, broker)
      },
      undo: async () => {
        if (!isRegistering) return
        const broker = await ensureBroker(request.directories, request.signal)
        await forgetVm(request.name, { directories: request.directories, broker })
      },
      [Symbol.asyncDispose]: async () => {
        made.sealed?.secret.fill(0)
        await rm(work, { recursive: true, force: true })
      },
    }
  } catch (error) {
    await rm(work, { recursive: true, force: true })
    throw error
  }
}

/** @throws CloisterError `vm.combination-unfit` for what no TEE, or not this one, can give */
function measuredTee({ tee, cpus }: MeasuredBootRequest): MeasuredTee {
  requireMeasuredCpus(tee, cpus)
  if (tee === 'snp' || tee === 'tdx' || tee === 'simulated') return tee
  throw new CloisterError('vm.combination-unfit', { received: `a measured boot with --tee ${tee}` })
}

async function make(request: MeasuredBootRequest, tee: MeasuredTee, work: string): Promise<Made> {
  const { name, imagePath, encryptDisk, diskMiB, directories, talk, signal } = request
  const broker = await ensureBroker(directories, signal, { talk })
  await requireFreeName(name, broker)
  const { buildBundle } = await import('@cloister/image/boot-bundle/build-bundle')
  const { readDiskSystem } = await import('@cloister/image/boot-bundle/disk-system')
  const context = { signal }
  const raw = await rawDisk(imagePath, work, signal)
  const system = await readDiskSystem(raw, work, context)
  const [agent] = system.hostAgents
  if (agent !== undefined) throw new CloisterError('vm-boot.host-orders', { where: agent })
  const leftOpen = openingsLeft(system, request.allowed)
  await requireFitBroker({ tee, keepsSecrets: encryptDisk || system.hasCloudInit }, broker)
  const { image: base } = await ensureGuestImage({ directories, talk, signal })
  const bundleDirectory = join(work, 'bundle')
  const bundle = await buildBundle({
    ...context,
    vm: name,
    base,
    kernel: system.kernel,
    fileSystem: 'ext4',
    directory: bundleDirectory,
    above: await latestVersion(broker, bundleName(name)),
  })
  if (tee !== 'simulated' && !bundle.attests[tee])
    throw new CloisterError('vm-boot.tee-driver-missing', { where: system.kernel.release })
  const machine = tee === 'tdx' ? await tdMachine(request, bundleDirectory) : undefined
  if (!encryptDisk) {
    const disk = { kind: 'plain', partition: system.partition } as const
    return { bundle, bundleDirectory, system, disk, leftOpen, machine }
  }
  const { sealRoot } = await import('@cloister/image/boot-bundle/seal-root')
  const secret = randomBytes(DISK_SECRET_BYTES)
  const id = randomBytes(16).toString('hex')
  const path = join(work, 'sealed.raw')
  const seal = { ...context, system, target: path, work, secret, id, diskMiB }
  talk('        encrypting the disk on this machine')
  const { dataBytes, source } = await sealRoot(seal)
  const { key, nextKey, recoveryKey } = vmResources(name)
  return {
    bundle,
    bundleDirectory,
    system,
    leftOpen,
    machine,
    disk: { kind: 'sealed', id, dataBytes, source, key, nextKey, recoveryKey },
    sealed: { path, secret },
  }
}

/** Loaded for TDX alone. */
async function tdMachine(
  request: MeasuredBootRequest,
  bundleDirectory: string,
): Promise<PredictedMachine | undefined> {
  const { predictVmMachine } = await import('../td-machine/predict-vm.ts')
  return await predictVmMachine({ ...request, bundleDirectory }, request)
}

/** @throws CloisterError `vm-boot.console-login`, `vm-boot.swap` for what was not allowed by name */
function openingsLeft({ openings }: DiskSystem, allowed: readonly VmOpening[]): VmOpening[] {
  const { consoleLogins, swaps } = openings
  const found = { 'console-login': consoleLogins, swap: swaps } as const
  return VM_OPENINGS.filter((name) => {
    const where = found[name].join('; ')
    if (where === '') return false
    if (!allowed.includes(name)) throw new CloisterError(`vm-boot.${name}`, { where })
    return true
  })
}

/**
 * A VM of that name may be on another host of this owner's. A new key in place of its key would close its disk for ever.
 *
 * @throws CloisterError `vm.name-taken`
 */
async function requireFreeName(name: string, broker: BrokerClient): Promise<void> {
  const own: readonly string[] = Object.values(vmResources(name))
  const kept = (await broker.secrets()).find(({ path }) => own.includes(path))
  if (kept === undefined) return
  throw new CloisterError('vm.name-taken', {
    where: kept.path,
    why: 'the broker keeps secrets of a VM of that name, which may be on another host',
    fix: [
      `cloister vm rm ${name}`,
      `where that VM is gone for good: cloister secret rm ${kept.path}`,
    ],
  })
}

/** Of a bundle at the broker. Absent: it was never registered. */
export async function latestVersion(
  broker: BrokerClient,
  bundle: string,
): Promise<number | undefined> {
  const versions = (await broker.guestImages()).filter(({ name }) => name === bundle)
  if (versions.length === 0) return undefined
  return Math.max(...versions.map(({ imageVersion }) => imageVersion))
}

function planOf(
  request: MeasuredBootRequest,
  { bundle, system, sealed, leftOpen, machine }: Made,
): string[] {
  const { name } = request
  const { key } = vmResources(name)
  const skipped = sealed === undefined ? [] : system.otherMounts
  return [
    `boots kernel ${system.kernel.release} out of the image; boot bundle ${bundle.manifest.name} version ${bundle.manifest.imageVersion}`,
    ...(sealed === undefined
      ? ['DISK NOT ENCRYPTED: the host can read and change everything on it']
      : [`disk encrypted here; its key ${key} becomes releasable to VM ${name} in this bundle`]),
    ...leftOpen.map((name) => `LEFT OPEN: ${name}, as allowed; its trust is degraded at best`),
    ...(request.tee === 'tdx' ? machineLines(request, machine) : []),
    ...skipped.map((mount) => `${mount} of the image is not used and will be empty`),
  ]
}

function machineLines(
  { name, rtmr0 }: MeasuredBootRequest,
  machine: PredictedMachine | undefined,
): string[] {
  const short = (value: string) => `${value.slice(0, 16)}…`
  if (rtmr0.length > 0) return [`the machine must be one of RTMR0 ${rtmr0.map(short).join(', ')}`]
  if (machine?.rtmr0 !== undefined)
    return [
      `the machine must be RTMR0 ${short(machine.rtmr0)}, as predicted; where the host's differs, accept it after the first boot (cloister vm accept-machine ${name})`,
    ]
  const unknown = machine?.events.filter(({ digest }) => digest === undefined) ?? []
  const missing = unknown.map(({ event }) => event).join(', ')
  return [
    ...(machine?.leftOut === undefined ? [] : [machine.leftOut]),
    `RTMR0, the machine, is not known yet${missing === '' ? '' : ` (${missing})`}: no secret is released until you accept it (cloister vm accept-machine ${name})`,
  ]
}

/** What the owner gave, else what was predicted as a whole. */
function acceptedAtFirst({ rtmr0 }: MeasuredBootRequest, { machine }: Made): readonly string[] {
  if (rtmr0.length > 0 || machine?.rtmr0 === undefined) return rtmr0
  return [machine.rtmr0]
}

async function register(
  request: MeasuredBootRequest,
  tee: MeasuredTee,
  made: Made,
  seed: VmSeed,
  broker: BrokerClient,
): Promise<MeasuredDefinition> {
  const { name, directories } = request
  const { bundle, sealed } = made
  if (tee === 'simulated') await broker.pinSimulatedRoot(await pinLocalSimulatedRoot(directories))
  await registerGuestImage(broker, bundle.manifest, { tee, debug: false })
  const release = releasePolicyFor(name, bundle.manifest, tee, acceptedAtFirst(request, made))
  const { key, seed: seedPath } = vmResources(name)
  if (sealed !== undefined) await put(broker, key, sealed.secret, tee, release)
  if (made.system.hasCloudInit)
    await put(broker, seedPath, Buffer.from(JSON.stringify(seed)), tee, release)
  const compose = (revision: number) => workloadOf(request, made, broker, revision)
  const { initdata } = await registerWorkload(broker, compose)
  await placeBundle(made.bundleDirectory, join(directories.images, bundle.manifest.name))
  return {
    ...(sealed !== undefined && { image: { path: sealed.path, name: request.imageName } }),
    measured: {
      guestImage: bundle.manifest.name,
      initdata: Buffer.from(initdata).toString('base64'),
    },
    targets: brokerTargets(broker.pinned),
  }
}

async function put(
  broker: BrokerClient,
  path: string,
  value: Buffer,
  tee: MeasuredTee,
  release: ReleasePolicyInput,
): Promise<void> {
  await broker.putSecret(path, {
    value: value.toString('base64'),
    allowSimulated: tee === 'simulated',
    release,
  })
}

function workloadOf(
  { name, guestPorts, instances }: MeasuredBootRequest,
  { system, disk, sealed, leftOpen }: Made,
  broker: BrokerClient,
  revision: number,
): VmWorkloadInput {
  return {
    version: 1,
    name,
    revision,
    ...(instances !== undefined && { instances }),
    broker: { url: broker.pinned.url, spki: broker.pinned.spki },
    vm: {
      disk,
      root: { fileSystem: 'ext4', init: system.init },
      absentMounts: sealed === undefined ? [] : [...system.otherMounts],
      ...(leftOpen.length > 0 && { allowed: [...leftOpen] }),
      ...(system.hasCloudInit && { cloudInit: { seed: vmResources(name).seed } }),
    },
    network: { targets: ['broker'], ports: [...new Set(guestPorts)] },
  }
}

/** Takes the place of whatever bundle stood there: that of a VM that is gone, for hostd refuses a second one of its name, or the one before. */
export async function placeBundle(made: string, target: string): Promise<void> {
  await mkdir(join(target, '..'), { recursive: true })
  await rm(target, { recursive: true, force: true })
  await rename(made, target).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EXDEV') throw error
    await cp(made, target, { recursive: true })
  })
}
