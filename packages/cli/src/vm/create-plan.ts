/** What `vm create` was asked for, read from the command line; nothing is looked up here. */
import { HOSTD_LIMITS, WorkloadNameSchema } from '@cloister/protocol/hostd-api'
import {
  bootOf,
  VM_LIMITS,
  VmNetworkSchema,
  type VmNetwork,
  type VmTee,
} from '@cloister/protocol/hostd-vm-api'
import { CloisterError } from '@cloister/protocol/error'
import { VM_OPENINGS, type VmOpening } from '@cloister/protocol/vm-workload'
import { listOption, textOption, type CommandLine, type OptionSpec } from '../command.ts'
import { MACHINE_OPTIONS } from '../td-machine/machine-options.ts'
import type { DirectFiles } from './sev/direct-boot.ts'
import { instances, INSTANCES_OPTION } from '../workload/instances-option.ts'
import { badOption, count, mebibytes, processorId, publishedPort } from '../option-values.ts'

const VM_TEE_CHOICES = ['auto', 'snp', 'tdx', 'sev-es', 'sev', 'simulated', 'none'] as const
export type VmTeeChoice = (typeof VM_TEE_CHOICES)[number]

export interface CreatePlan {
  readonly name: string
  /** A file, or a name of the catalogue. */
  readonly image: string
  readonly cpus: number
  readonly memoryMiB: number
  /** Absent: the image's own size. */
  readonly diskMiB: number | undefined
  readonly tee: VmTeeChoice
  /** Absent, each: what the TEE can give. */
  readonly secureBoot: boolean | undefined
  readonly vtpm: boolean | undefined
  readonly integrityMonitoring: boolean | undefined
  /** Folder with certificates of the owner's own Secure Boot keys. Absent: Microsoft's. */
  readonly secureBootKeys: string | undefined
  readonly cloudInit: string | undefined
  readonly networkConfig: string | undefined
  /** Public key. Absent: one is made for this VM. */
  readonly sshKey: string | undefined
  readonly user: string | undefined
  readonly encryptDisk: boolean
  /** What SEV boots and measures, for a launch secret. Absent: the disk boots as its TEE has it. */
  readonly direct: DirectFiles | undefined
  /** Accepted values of RTMR0, lowercase hex; for TDX only. */
  readonly rtmr0: readonly string[]
  /** Of the host's processors, 8 bytes; for TDX only. */
  readonly processorId: Uint8Array | undefined
  /** Folder of what a guest of such a machine shows; for TDX only. Absent: the QEMU here shows it. */
  readonly machineFiles: string | undefined
  /** What the image may leave open under a measured boot. */
  readonly allowed: readonly VmOpening[]
  readonly ports: readonly { address: string; host: number; guest: number }[]
  readonly network: VmNetwork
  readonly start: boolean
  /** Absent: any number. */
  readonly instances: number | undefined
}

export const VM_CREATE_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  image: {
    type: 'string',
    value: 'FILE|NAME',
    help: 'disk image, raw or qcow2, or a name of `vm images`; it is copied',
  },
  cpus: { type: 'string', value: 'N', help: 'vCPUs; default 2' },
  memory: { type: 'string', short: 'm', value: 'SIZE', help: 'memory; default 2G' },
  disk: { type: 'string', value: 'SIZE', help: "size of the disk; default the image's own" },
  tee: {
    type: 'string',
    value: VM_TEE_CHOICES.join('|'),
    help: 'default auto: a real TEE, or a refusal; none: the host can read everything',
  },
  'secure-boot': {
    type: 'string',
    value: 'on|off',
    help: 'only signed boot loaders and kernels boot; default on where the TEE can give it',
  },
  'secure-boot-keys': {
    type: 'string',
    value: 'DIR',
    help: 'own keys: pk.*, kek*, db*, dbx* certificates (PEM or DER); default Microsoft’s',
  },
  vtpm: {
    type: 'string',
    value: 'on|off',
    help: 'a TPM 2.0, run by the host; default on in a firmware boot',
  },
  'integrity-monitoring': {
    type: 'string',
    value: 'on|off',
    help: 'boots are compared with a baseline; default as the vTPM',
  },
  'cloud-init': { type: 'string', value: 'FILE', help: 'user-data for the first boot' },
  'network-config': {
    type: 'string',
    value: 'FILE',
    help: 'network configuration for cloud-init, version 2',
  },
  'ssh-key': {
    type: 'string',
    value: 'FILE',
    help: 'public key that may log in; default one made for this VM',
  },
  user: { type: 'string', value: 'NAME', help: "who `vm ssh` logs in as; default the image's" },
  'encrypt-disk': { type: 'boolean', help: 'the disk opens only after attestation' },
  ...INSTANCES_OPTION,
  'allow-console-login': {
    type: 'boolean',
    help: 'under a measured boot: the image may log in at the console without a password, so the host may',
  },
  'allow-swap': {
    type: 'boolean',
    help: 'under a measured boot: the image may swap memory to a disk that the host reads',
  },
  rtmr0: {
    type: 'string',
    multiple: true,
    value: 'HEX',
    help: 'with --tee tdx: RTMR0 of the machine, where you know it; default: predicted where all of it is known, else accepted after its first boot',
  },
  ...MACHINE_OPTIONS,
  kernel: {
    type: 'string',
    value: 'FILE',
    help: 'with --tee sev or sev-es and --initrd: boot this kernel directly, so that it is measured and the VM can take a launch secret',
  },
  initrd: { type: 'string', value: 'FILE', help: 'with --kernel: what opens the disk' },
  append: { type: 'string', value: 'LINE', help: 'with --kernel: the command line, measured too' },
  publish: {
    type: 'string',
    short: 'p',
    multiple: true,
    value: '[ADDRESS:]HOST:GUEST',
    help: 'forward a port of the host, in clear; without one for 22 a free one is chosen',
  },
  network: { type: 'string', value: 'user|bridge=BR', help: 'default user: behind the host' },
  'no-start': { type: 'boolean', help: 'make it and leave it stopped' },
  yes: { type: 'boolean', short: 'y', help: 'ask nothing' },
}

/** @throws CloisterError `cli.usage` */
export function readCreatePlan(line: CommandLine): CreatePlan {
  const [name = ''] = line.positionals
  if (!WorkloadNameSchema.safeParse(name).success)
    throw badOption('this is no name for a VM', 'a-z, 0-9 and -, at most 63 of them', name)
  const image = textOption(line, 'image')
  if (image === undefined)
    throw new CloisterError('cli.usage', {
      why: '--image is missing',
      expected: 'a disk image or a name of the catalogue',
      fix: [`cloister vm create ${name} --image debian-12`, 'cloister vm images'],
    })
  const disk = textOption(line, 'disk')
  return {
    name,
    image,
    cpus: count('cpus', textOption(line, 'cpus') ?? '2', HOSTD_LIMITS.cpus),
    memoryMiB: mebibytes('memory', textOption(line, 'memory') ?? '2G', HOSTD_LIMITS.memoryMiB),
    diskMiB: disk === undefined ? undefined : mebibytes('disk', disk, VM_LIMITS.diskMiB),
    tee: teeChoice(textOption(line, 'tee') ?? 'auto'),
    secureBoot: onOrOff(line, 'secure-boot'),
    vtpm: onOrOff(line, 'vtpm'),
    integrityMonitoring: onOrOff(line, 'integrity-monitoring'),
    secureBootKeys: textOption(line, 'secure-boot-keys'),
    cloudInit: textOption(line, 'cloud-init'),
    networkConfig: textOption(line, 'network-config'),
    sshKey: textOption(line, 'ssh-key'),
    user: textOption(line, 'user'),
    encryptDisk: line.options['encrypt-disk'] === true,
    allowed: VM_OPENINGS.filter((name) => line.options[`allow-${name}`] === true),
    direct: directFiles(line),
    rtmr0: listOption(line, 'rtmr0').map(registerValue),
    processorId: processorId(textOption(line, 'processor-id')),
    machineFiles: textOption(line, 'machine-files'),
    ports: listOption(line, 'publish').map(publishedPort),
    network: networkOf(textOption(line, 'network') ?? 'user'),
    start: line.options['no-start'] !== true,
    instances: instances(line),
  }
}

function directFiles(line: CommandLine): DirectFiles | undefined {
  const [kernel, initrd, commandLine] = ['kernel', 'initrd', 'append'].map((name) =>
    textOption(line, name),
  )
  if (kernel !== undefined && initrd !== undefined)
    return { kernel, initrd, commandLine: commandLine ?? '' }
  if (kernel === undefined && initrd === undefined && commandLine === undefined) return undefined
  throw new CloisterError('cli.usage', {
    why: 'a direct boot needs a kernel and an initrd',
    expected: '--kernel FILE --initrd FILE, and --append LINE',
  })
}

function teeChoice(text: string): VmTeeChoice {
  const found = VM_TEE_CHOICES.find((choice) => choice === text)
  if (found === undefined) throw badOption('--tee is unknown', VM_TEE_CHOICES.join(', '), text)
  return found
}

export function registerValue(text: string): string {
  const value = text.toLowerCase()
  if (/^[0-9a-f]{96}$/.test(value)) return value
  throw badOption('this is no value of RTMR0', '96 hex digits', text)
}

function onOrOff(line: CommandLine, option: string): boolean | undefined {
  const text = textOption(line, option)
  if (text === undefined) return undefined
  if (text === 'on' || text === 'off') return text === 'on'
  throw badOption(`--${option} is malformed`, 'on or off', text)
}

function networkOf(text: string): VmNetwork {
  const [, bridge] = /^bridge=(.+)$/.exec(text) ?? []
  const network = bridge === undefined ? { kind: text } : { kind: 'bridge', bridge }
  const parsed = VmNetworkSchema.safeParse(network)
  if (!parsed.success) throw badOption('--network is malformed', 'user or bridge=NAME', text)
  return parsed.data
}

/** What a machine gets of Shielded VM. */
export interface Shield {
  readonly secureBoot: boolean
  readonly vtpm: boolean
  readonly integrityMonitoring: boolean
}

/** TEEs whose guests have no system management mode, behind which OVMF keeps the variables of Secure Boot. */
const WITHOUT_SMM: ReadonlySet<VmTee> = new Set(['sev-es'])

/**
 * What was asked for, with what the TEE gives where nothing was.
 *
 * @throws CloisterError `vm.combination-unfit`
 */
export function shieldOf(plan: CreatePlan, tee: VmTee): Shield {
  const isMeasured = bootOf(tee) === 'measured'
  if (plan.direct !== undefined) checkDirect(plan, tee)
  const hasSecureBoot = !isMeasured && !WITHOUT_SMM.has(tee) && plan.direct === undefined
  if (plan.secureBoot === true && !hasSecureBoot)
    throw unfit(
      `--secure-boot on with --tee ${tee}`,
      isMeasured
        ? 'kernel, initrd and command line are in the launch measurement, and no firmware variable counts'
        : 'its guests have no SMM, so they could rewrite the variables of Secure Boot',
    )
  if (plan.vtpm === true && isMeasured)
    throw unfit(
      `--vtpm on with --tee ${tee}`,
      'the TPM would be run by the host, against which this TEE protects',
    )
  if (plan.instances !== undefined && !isMeasured)
    throw unfit(
      `--instances with --tee ${tee}`,
      'only the firmware is measured there, so the broker could not tell which VM attests',
    )
  if (plan.encryptDisk && !isMeasured)
    throw unfit(
      `--encrypt-disk with --tee ${tee}`,
      'only the firmware is measured there, so the broker could not tell who asks for the key',
    )
  if (plan.networkConfig !== undefined && isMeasured)
    throw unfit(
      `--network-config with --tee ${tee}`,
      'cloud-init gets its seed from the broker there, which carries no network configuration',
    )
  if (plan.allowed.length > 0 && !isMeasured)
    throw unfit(
      `--allow-${plan.allowed[0]} with --tee ${tee}`,
      'the host can change everything in such a VM, and nothing is looked for in its image',
    )
  if (plan.rtmr0.length > 0 && tee !== 'tdx')
    throw unfit(`--rtmr0 with --tee ${tee}`, 'it is a register of TDX')
  for (const option of ['processorId', 'machineFiles'] as const)
    if (plan[option] !== undefined && tee !== 'tdx')
      throw unfit(
        `${MACHINE_OPTION_NAMES[option]} with --tee ${tee}`,
        'it speaks of a register of TDX',
      )
  const secureBoot = plan.secureBoot ?? hasSecureBoot
  const vtpm = plan.vtpm ?? (!isMeasured && plan.direct === undefined)
  if (plan.integrityMonitoring === true && !vtpm)
    throw unfit('--integrity-monitoring on without --vtpm on', 'it reads the PCRs of the vTPM')
  if (plan.secureBootKeys !== undefined && !secureBoot)
    throw unfit('--secure-boot-keys without Secure Boot', 'nothing would check them')
  if (plan.network.kind === 'bridge' && plan.ports.length > 0)
    throw unfit('--publish with --network bridge', 'the guest has an address of its own')
  return { secureBoot, vtpm, integrityMonitoring: plan.integrityMonitoring ?? vtpm }
}

/** Kernel, initrd and command line in the place of what the firmware would start. */
function checkDirect(plan: CreatePlan, tee: VmTee): void {
  if (tee !== 'sev' && tee !== 'sev-es')
    throw unfit(`--kernel with --tee ${tee}`, 'it is for launch secrets of SEV and SEV-ES')
  if (plan.secureBoot === true || plan.vtpm === true)
    throw unfit(
      `--${plan.vtpm === true ? 'vtpm' : 'secure-boot'} on with --kernel`,
      'firmware that takes launch secrets keeps no variables and starts no boot loader',
    )
  if (plan.cloudInit !== undefined || plan.networkConfig !== undefined || plan.sshKey !== undefined)
    throw unfit(
      '--cloud-init, --network-config or --ssh-key with --kernel',
      'the host would write that seed, and whoever writes it is root in the VM',
    )
}

const MACHINE_OPTION_NAMES = {
  processorId: '--processor-id',
  machineFiles: '--machine-files',
} as const

function unfit(received: string, why: string): CloisterError {
  return new CloisterError('vm.combination-unfit', { why, received })
}
