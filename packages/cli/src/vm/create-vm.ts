/** `vm create`, step by step: everything is decided and shown before anything is made. */
import type { HostdClient } from '@cloister/hostd/client'
import { inspectDisk } from '@cloister/launcher/machine/disk-image'
import { requireBridge } from '@cloister/launcher/machine/tap'
import { HOSTD_LIMITS } from '@cloister/protocol/hostd-api'
import { CloisterError } from '@cloister/protocol/error'
import type { Directories } from '@cloister/protocol/directories'
import {
  bootOf,
  VM_LIMITS,
  type DefineVmRequestInput,
  type VmTee,
  type VmView,
} from '@cloister/protocol/hostd-vm-api'
import { freePort } from '../free-port.ts'
import { readInput } from '../read-input.ts'
import { ensureGuestImage } from '../setup/ensure-guest-image.ts'
import { keepPrediction } from '../td-machine/kept-prediction.ts'
import { chooseVmTee } from './choose-vm-tee.ts'
import { shieldOf, type CreatePlan, type Shield } from './create-plan.ts'
import { openDiskImage } from './disk-catalogue.ts'
import { prepareMeasuredBoot, type MeasuredBoot, type MeasuredDefinition } from './measured-boot.ts'
import { readSecureBootKeys } from './secure-boot-keys.ts'
import type { DirectBoot } from './sev/direct-boot.ts'
import {
  keepIdentity,
  makeKeyPair,
  readGivenKey,
  removeIdentity,
  type GivenKey,
} from './ssh-identity.ts'
import { composeUserData } from './user-data.ts'
import { cpusText } from './vm-text.ts'

const SSH_PORT = 22
/** Where ports for ssh are looked for first. */
const FIRST_SSH_PORT = 2222

export interface CreateContext {
  readonly directories: Directories
  readonly hostd: HostdClient
  readonly talk: (line: string) => void
  readonly signal: AbortSignal
}

/** A creation that is fully decided and has made nothing yet but what the catalogue keeps anyway. */
export interface PreparedVm extends AsyncDisposable {
  readonly plan: CreatePlan
  readonly tee: VmTee
  readonly shield: Shield
  readonly image: Awaited<ReturnType<typeof openDiskImage>>
  readonly user: string | undefined
  readonly ports: CreatePlan['ports']
  readonly givenKey: GivenKey | undefined
  readonly userData: Uint8Array | undefined
  readonly networkConfig: Uint8Array | undefined
  readonly secureBootKeys: DefineVmRequestInput['secureBootKeys']
  readonly measured: MeasuredBoot | undefined
  readonly direct: DirectBoot | undefined
}

/** @throws CloisterError `vm.*`, `tee.none`, `cli.*`, `catalogue-image.*` */
export async function prepareVm(plan: CreatePlan, context: CreateContext): Promise<PreparedVm> {
  const { directories, hostd, talk, signal } = context
  const tee = await chooseVmTee(plan.tee, directories, signal)
  const shield = shieldOf(plan, tee)
  await checkName(plan.name, tee, hostd, signal)
  const givenKey = plan.sshKey === undefined ? undefined : await readGivenKey(plan.sshKey)
  const read = async (file: string | undefined) =>
    file === undefined ? undefined : await readInput(file, VM_LIMITS.seedBytes)
  const userData = await read(plan.cloudInit)
  const networkConfig = await read(plan.networkConfig)
  const secureBootKeys =
    plan.secureBootKeys === undefined ? undefined : await readSecureBootKeys(plan.secureBootKeys)
  const image = await openDiskImage(plan.image, { directories, talk, signal })
  if (plan.network.kind === 'bridge' && plan.start) await requireBridge(plan.network.bridge)
  // As hostd will: before a plan is shown that cannot be carried out.
  await inspectDisk(image.path)
  const ports = await portsOf(plan, hostd, signal)
  const measured =
    bootOf(tee) === 'measured' || plan.encryptDisk
      ? await prepareMeasuredBoot({
          name: plan.name,
          tee,
          imagePath: image.path,
          imageName: image.name,
          cpus: plan.cpus,
          memoryMiB: plan.memoryMiB,
          guestPorts: ports.map(({ guest }) => guest),
          diskMiB: plan.diskMiB,
          encryptDisk: plan.encryptDisk,
          instances: plan.instances,
          rtmr0: plan.rtmr0,
          processorId: plan.processorId,
          machineFiles: plan.machineFiles,
          allowed: plan.allowed,
          directories,
          talk,
          signal,
        })
      : undefined
  const direct =
    plan.direct && (await prepareDirect(plan.direct, { tee, cpus: plan.cpus }, context))
  const user = plan.user ?? image.user
  return {
    plan,
    tee,
    shield,
    image,
    user,
    ports,
    givenKey,
    userData,
    networkConfig,
    secureBootKeys,
    measured,
    direct,
    [Symbol.asyncDispose]: async () => await measured?.[Symbol.asyncDispose](),
  }
}

/** The firmware is that of SNP's guests, which has room for the kernel's hashes and for secrets. */
async function prepareDirect(
  files: NonNullable<CreatePlan['direct']>,
  shape: { readonly tee: VmTee; readonly cpus: number },
  { directories, talk, signal }: CreateContext,
): Promise<DirectBoot> {
  const { image } = await ensureGuestImage({ directories, talk, signal })
  const { snpFirmware } = image.paths
  if (snpFirmware === undefined) throw new CloisterError('tee.firmware-missing')
  const { readDirectBoot } = await import('./sev/direct-boot.ts')
  return await readDirectBoot(files, shape, snpFirmware)
}

/** Lines that say what will be made, and what of it whoever owns the host can see. */
export function planLines({
  plan,
  tee,
  shield,
  image,
  ports,
  measured,
  direct,
}: PreparedVm): string[] {
  const disk = plan.diskMiB === undefined ? "the image's own size" : `${plan.diskMiB} MiB`
  const onOff = (value: boolean) => (value ? 'on' : 'off')
  return [
    `plan  ${plan.name}  VM from ${image.name}${image.sha256 === undefined ? '' : `  sha256:${image.sha256.slice(0, 16)}`}`,
    `      ${cpusText(plan.cpus)}, ${plan.memoryMiB} MiB, disk ${disk}, tee ${tee}`,
    `      Secure Boot ${onOff(shield.secureBoot)}, vTPM ${onOff(shield.vtpm)}, integrity monitoring ${onOff(shield.integrityMonitoring)}`,
    ...(tee === 'none' ? ['      NO TEE: the host can read and change everything in it'] : []),
    ...(tee === 'simulated'
      ? ['      SIMULATION: memory is not encrypted, the host can read everything']
      : []),
    ...(shield.vtpm
      ? [
          '      the host runs the TPM and holds the key of its state: it protects a stolen disk, not against the host',
        ]
      : []),
    ...ports.map(
      ({ address, host, guest }) =>
        `      port ${address}:${host} leads to ${guest}, in clear to the host`,
    ),
    ...(plan.network.kind === 'bridge' ? [`      on bridge ${plan.network.bridge}`] : []),
    ...(direct === undefined
      ? []
      : [
          `      boots ${direct.request.kernel} with ${direct.request.initrd}, which SEV measures with the command line; it takes its secret at each start`,
          '      the disk is copied as it is: encrypt its root yourself, and let the initrd open it with the secret',
        ]),
    ...(measured?.plan ?? []).map((line) => `      ${line}`),
  ]
}

/** Makes it; nothing is left when that fails. @throws CloisterError `vm.*`, `disk.*`, `host.*`, … */
export async function createVm(prepared: PreparedVm, context: CreateContext): Promise<VmView> {
  const { directories, hostd, signal } = context
  const { plan, user, givenKey } = prepared
  if (prepared.direct !== undefined) return await createDirect(prepared, prepared.direct, context)
  const madeKey = givenKey === undefined ? await makeKeyPair(`cloister-vm-${plan.name}`) : undefined
  const hostKey = await makeKeyPair(plan.name)
  const { userData, hasHostKey } = composeUserData(prepared.userData, hostKey)
  const seed = seedOf(prepared, userData, givenKey?.publicKey ?? madeKey?.publicKey ?? '')
  const define = async () => {
    const measured = await prepared.measured?.register(seed)
    const request = measured === undefined ? { seed } : measuredParts(measured)
    return await hostd.vms.define({ ...requestOf(prepared), ...request }, { signal })
  }
  const view = await define().catch(async (error: unknown) => {
    await prepared.measured?.undo()
    throw error
  })
  try {
    await keepIdentity(directories, plan.name, {
      user,
      givenKey: givenKey?.key,
      madeKey,
      hostKey: hasHostKey ? hostKey : undefined,
    })
    const machine = prepared.measured?.machine
    if (machine !== undefined) {
      const { processorId } = plan
      await keepPrediction(directories, plan.name, { events: machine.events, processorId })
    }
  } catch (error) {
    await removeIdentity(directories, plan.name)
    await hostd.vms.remove(plan.name)
    await prepared.measured?.undo()
    throw error
  }
  return view
}

/** Without a seed: the host would write it. */
async function createDirect(
  prepared: PreparedVm,
  direct: DirectBoot,
  { directories, hostd, signal }: CreateContext,
): Promise<VmView> {
  const { plan, user } = prepared
  const request = { ...requestOf(prepared), direct: direct.request }
  const view = await hostd.vms.define(request, { signal })
  try {
    const none = { givenKey: undefined, madeKey: undefined, hostKey: undefined }
    await keepIdentity(directories, plan.name, { user, ...none })
    const { keepDirectBoot } = await import('./sev/direct-boot.ts')
    await keepDirectBoot(directories, plan.name, direct)
  } catch (error) {
    await removeIdentity(directories, plan.name)
    await hostd.vms.remove(plan.name)
    throw error
  }
  return view
}

type Seed = NonNullable<DefineVmRequestInput['seed']>

function seedOf({ networkConfig }: PreparedVm, userData: Uint8Array, sshKey: string): Seed {
  const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64')
  return {
    userData: base64(userData),
    sshKeys: [sshKey],
    ...(networkConfig !== undefined && { networkConfig: base64(networkConfig) }),
  }
}

function requestOf(prepared: PreparedVm): DefineVmRequestInput {
  const { plan, tee, shield, image, ports, secureBootKeys } = prepared
  return {
    name: plan.name,
    image: {
      path: image.path,
      name: image.name,
      ...(image.sha256 !== undefined && { sha256: image.sha256 }),
    },
    cpus: plan.cpus,
    memoryMiB: plan.memoryMiB,
    // An encrypted disk has its size already.
    ...(plan.diskMiB !== undefined && !plan.encryptDisk && { diskMiB: plan.diskMiB }),
    tee,
    ...shield,
    ...(secureBootKeys !== undefined && { secureBootKeys }),
    ports: [...ports],
    network: plan.network,
  }
}

/** No seed: the host would write it, and whoever writes it is root in the VM. The broker has it. */
function measuredParts({ image, measured, targets }: MeasuredDefinition) {
  return { measured, targets, ...(image !== undefined && { image }) }
}

/** Before anything long: hostd looks again. At the broker a measured VM and a container of one name would supersede each other. */
async function checkName(
  name: string,
  tee: VmTee,
  hostd: HostdClient,
  signal: AbortSignal,
): Promise<void> {
  const vms = await hostd.vms.list({ signal })
  const workloads = bootOf(tee) === 'measured' ? await hostd.list({ signal }) : []
  if ([...vms, ...workloads].some((view) => view.name === name))
    throw new CloisterError('vm.name-taken', { where: name })
}

/** Ports as asked for, and a free one for ssh where none was. */
async function portsOf(
  { network, ports }: CreatePlan,
  hostd: HostdClient,
  signal: AbortSignal,
): Promise<CreatePlan['ports']> {
  if (network.kind === 'bridge' || ports.some(({ guest }) => guest === SSH_PORT)) return ports
  if (ports.length >= HOSTD_LIMITS.ports) return ports
  const views = await hostd.vms.list({ signal })
  const used = new Set([...views.flatMap((view) => view.ports), ...ports].map(({ host }) => host))
  let wanted = FIRST_SSH_PORT
  while (used.has(wanted)) wanted += 1
  const host = await freePort(wanted)
  return [...ports, { address: '127.0.0.1', host, guest: SSH_PORT }]
}
