import { readFile } from 'node:fs/promises'
import { checkGuestImage, DEFAULT_IMAGE, loadGuestImage } from '@cloister/image/images'
import {
  PLAIN_FEATURES,
  explainLaunch,
  findVariant,
  imageLaunch,
  launchDifferences,
  type LaunchDifference,
  type LaunchSide,
  type LaunchVariant,
} from '@cloister/image/launch-difference'
import { explainFirmware, firmwareDifferences } from '@cloister/image/firmware-explanation'
import {
  MEASURED_TEES,
  measureFirmware,
  type DirectBoot,
  type MeasuredTee,
  type Measurement,
} from '@cloister/image/firmware-measurement'
import { predictions } from '@cloister/image/predictions'
import { CloisterError } from '@cloister/protocol/error'
import { FormatError } from '@cloister/verifier/bytes/format-error'
import { isVcpuType } from '@cloister/verifier/launch/vcpu-types'
import { textOption, type Command, type Invocation } from '../command.ts'
import {
  isLogFile,
  showLogDifferences,
  showLogEvents,
  showLogRegisters,
} from '../evidence/measured-log.ts'
import {
  compareWithLog,
  MACHINE_OPTIONS,
  measuredMachine,
  showMachineEvents,
} from '../evidence/measured-machine.ts'

const MODES = ['hardware', 'simulated', 'debug'] as const

interface Row {
  readonly mode: string
  /** Of SNP; null for TDX, whose registers do not speak of vCPUs. */
  readonly vcpuType: string | null
  readonly vcpus: number | null
  /** `launch digest` of SNP, or a register of TDX. */
  readonly register: string
  readonly launchDigest: string
}

export const command: Command = {
  usage:
    'measure [IMAGE | LOG | --diff A B | --firmware FILE] [--explain] [--mode MODE] [--cpus N] [--vcpu-type TYPE] [--bank BANK]',
  details:
    "Predicts the SNP launch digest of a guest image from its firmware, kernel, initrd and command line, for each vCPU type and count,\nand MRTD, RTMR1 and RTMR2 of TDX for a boot bundle of a VM. No QEMU and no processor takes part. Modes are different command lines, so different digests: only hardware counts under AMD.\n--explain lists each group of pages with the digest once it is measured. --diff names the inputs in which two launches differ: A and B are images\nor launch digests, or with --tee the files of two firmwares; a digest is looked for in the other image (or the default one) among all vCPU types, up to 64 vCPUs and SEV features.\n--firmware FILE measures a firmware that is no image of ours, as --tee says, with --kernel, --initrd and --append where QEMU boots a kernel directly,\nstretch by stretch with --explain;\nfor tdx that gives RTMR1 and RTMR2 of a firmware that loads the kernel unchanged (QEMU 10.0 and EDK2 since 2025), beside MRTD.\n--memory SIZE adds the events of RTMR0, which speak of the machine: TD HOB and configuration volume follow from firmware and memory, the rest from --probe or --machine-files;\nRTMR0 is given where all are known. With --explain they are listed, with --log each is compared with a real TD's log: predicted, differs, unknown, unexpected or missing.\nLOG is the file of an event log: of a TPM (binary_bios_measurements), a CCEL, CoCo's runtime events (AAEL) or a canonical log (CEL), raw or base64. The\nregisters (PCRs, or RTMR0 to RTMR3) that it adds up to are listed; with --explain each event and the value after it, in brackets what is a label that\nno digest covers. --diff of two logs names for each register the first event in which they part, and why, earliest first. Nobody vouches for a log: a\nquote over its registers does, and `evidence verify` compares.",
  options: {
    mode: { type: 'string', value: 'MODE', help: `${MODES.join(', ')}; default all` },
    cpus: { type: 'string', value: 'N', help: 'only this vCPU count' },
    explain: {
      type: 'boolean',
      help: 'what the digest or the registers are made of; hardware, EPYC-v4, 1 vCPU unless said otherwise',
    },
    diff: {
      type: 'boolean',
      help: 'why A and B differ: images, launch digests, event logs, or firmware files with --tee',
    },
    bank: {
      type: 'string',
      value: 'BANK',
      help: 'of an event log: sha256, sha384, …; default sha256 of a TPM, else the strongest there is',
    },
    firmware: { type: 'string', value: 'FILE', help: 'measures this firmware instead of an image' },
    tee: {
      type: 'string',
      value: 'TEE',
      help: `with --firmware or --diff: ${MEASURED_TEES.join(', ')}; default snp`,
    },
    kernel: { type: 'string', value: 'FILE', help: 'with --firmware: booted directly' },
    initrd: { type: 'string', value: 'FILE', help: 'with --kernel' },
    append: { type: 'string', value: 'TEXT', help: "with --kernel: the kernel's command line" },
    ...MACHINE_OPTIONS,
    'vcpu-type': {
      type: 'string',
      value: 'TYPE',
      help: 'only this QEMU vCPU type, such as EPYC-v4',
    },
  },
  positionals: [0, 2],
  async run(invocation) {
    const { positionals, options, output } = invocation
    if (options['diff'] === true) return await showDifferences(invocation)
    if (options['firmware'] !== undefined) return await showFirmware(invocation)
    if (positionals.length > 1)
      throw new CloisterError('cli.usage', { why: 'two images are compared with --diff' })
    const [name] = positionals
    if (name !== undefined && (await isLogFile(invocation, name)))
      return options['explain'] === true
        ? await showLogEvents(invocation, name)
        : await showLogRegisters(invocation, name)
    const image = await checkedImage(invocation, name ?? DEFAULT_IMAGE)
    if (options['explain'] === true) return await showContributions(invocation, image)
    const mode = textOption(invocation, 'mode')
    const cpus = textOption(invocation, 'cpus')
    const vcpuType = textOption(invocation, 'vcpu-type')
    const predicted = flatten(await predictions(image.directory, image.manifest))
    const rows = [...predicted, ...tdxRows(image)].filter(
      (row) =>
        (mode === undefined || row.mode === mode) &&
        (cpus === undefined || row.vcpus === Number(cpus)) &&
        (vcpuType === undefined || row.vcpuType === vcpuType),
    )
    if (rows.length === 0)
      throw new CloisterError('cli.usage', {
        why: 'no launch digest is known for this mode, vCPU type and count',
      })
    await output.list(rows, {
      name: (row) => row.launchDigest,
      columns: [
        { title: 'MODE', cell: (row) => row.mode },
        { title: 'VCPU TYPE', cell: (row) => row.vcpuType ?? '-' },
        { title: 'VCPUS', cell: (row) => String(row.vcpus ?? '-') },
        { title: 'REGISTER', cell: (row) => row.register },
        { title: 'VALUE', cell: (row) => row.launchDigest },
      ],
    })
  },
}

function flatten(expected: Awaited<ReturnType<typeof predictions>>): Row[] {
  return MODES.flatMap((mode) =>
    Object.entries(expected[mode]).flatMap(([vcpuType, counts]) =>
      Object.entries(counts).map(([vcpus, launchDigest]) => ({
        mode,
        vcpuType,
        vcpus: Number(vcpus),
        register: 'launch digest',
        launchDigest,
      })),
    ),
  )
}

/** Of an image with a unified kernel. RTMR0 is of the machine, and no image tells it. */
function tdxRows({ manifest }: Image): Row[] {
  const { mrTd, rtmr1, rtmr2 } = manifest.expected.tdx?.hardware ?? {}
  return Object.entries({ MRTD: mrTd, RTMR1: rtmr1, RTMR2: rtmr2 }).flatMap(([register, value]) =>
    value === undefined
      ? []
      : [{ mode: 'hardware', vcpuType: null, vcpus: null, register, launchDigest: value }],
  )
}

type Image = Awaited<ReturnType<typeof loadGuestImage>>

async function checkedImage({ directories }: Invocation, name: string): Promise<Image> {
  const image = await loadGuestImage(`${directories.images}/${name}`)
  // The digests of kernel and initrd come from the manifest, so the files must be those.
  await checkGuestImage(image)
  return image
}

async function showContributions(invocation: Invocation, image: Image): Promise<void> {
  const variant = chosenVariant(invocation)
  const launch = await imageLaunch(image.directory, image.manifest, variant.mode)
  await invocation.output.list(await explainLaunch(launch, variant), {
    name: (row) => row.digest,
    columns: [
      { title: 'WHAT', cell: (row) => row.what },
      { title: 'ADDRESS', cell: (row) => row.address },
      { title: 'SIZE', cell: (row) => String(row.size) },
      { title: 'DIGEST SO FAR', cell: (row) => row.digest },
    ],
  })
}

async function showFirmware(invocation: Invocation): Promise<void> {
  const tee = chosenTee(invocation)
  const boot = await directBoot(invocation, textOption(invocation, 'firmware') ?? '')
  const machine = await machineOf(tee, invocation)
  if (machine !== undefined) {
    const log = textOption(invocation, 'log')
    if (log !== undefined) return await compareWithLog(invocation, log, machine)
    if (invocation.options['explain'] === true) return await showMachineEvents(invocation, machine)
  }
  if (invocation.options['explain'] === true)
    return await showFirmwareContributions(invocation, tee, boot)
  const rows = withRtmr0(await fitting(measureFirmware(tee, boot)), machine?.rtmr0)
  await invocation.output.list(rows, {
    name: (row) => row.value,
    columns: [
      { title: 'REGISTER', cell: (row) => row.register },
      { title: 'VALUE', cell: (row) => row.value },
    ],
  })
}

function chosenTee(invocation: Invocation): MeasuredTee {
  const name = textOption(invocation, 'tee') ?? 'snp'
  const tee = MEASURED_TEES.find((one) => one === name)
  if (tee !== undefined) return tee
  throw new CloisterError('cli.usage', { why: `--tee is one of ${MEASURED_TEES.join(', ')}` })
}

/** @param firmware - file */
async function directBoot(invocation: Invocation, firmware: string): Promise<DirectBoot> {
  const file = async (option: string) => {
    const path = textOption(invocation, option)
    return path === undefined ? undefined : await readNamed(`--${option}`, path)
  }
  const { vcpuType, vcpus } = chosenVariant(invocation)
  return {
    firmware: await readNamed('the firmware', firmware),
    kernel: await file('kernel'),
    initrd: await file('initrd'),
    commandLine: textOption(invocation, 'append'),
    vcpuType,
    vcpus,
  }
}

async function showFirmwareContributions(
  { output }: Invocation,
  tee: MeasuredTee,
  boot: DirectBoot,
): Promise<void> {
  await output.list(await fitting(explainFirmware(tee, boot)), {
    name: (row) => row.digest,
    columns: [
      { title: 'REGISTER', cell: (row) => row.register },
      { title: 'WHAT', cell: (row) => row.what },
      { title: 'ADDRESS', cell: (row) => row.address ?? '-' },
      { title: 'SIZE', cell: (row) => String(row.size ?? '-') },
      { title: 'VALUE SO FAR', cell: (row) => row.digest },
    ],
  })
}

async function machineOf(tee: string, invocation: Invocation) {
  const machine = await measuredMachine(invocation, textOption(invocation, 'firmware') ?? '')
  if (machine !== undefined && tee !== 'tdx')
    throw new CloisterError('cli.usage', { why: '--memory goes with --tee tdx' })
  return machine
}

/** Behind MRTD. */
function withRtmr0(rows: readonly Measurement[], value: string | undefined): Measurement[] {
  if (value === undefined) return [...rows]
  return rows.flatMap((row) =>
    row.register === 'MRTD' ? [row, { register: 'RTMR0', value }] : [row],
  )
}

async function readNamed(what: string, path: string): Promise<Uint8Array> {
  try {
    return await readFile(path)
  } catch (cause) {
    throw new CloisterError('cli.usage', { why: `${what}: ${path} cannot be read`, cause })
  }
}

/** @throws CloisterError `guest-image.firmware-unfit` for a firmware or kernel that cannot be measured so */
async function fitting<Value>(measuring: Promise<Value>): Promise<Value> {
  try {
    return await measuring
  } catch (cause) {
    if (!(cause instanceof FormatError || cause instanceof RangeError)) throw cause
    throw new CloisterError('guest-image.firmware-unfit', { why: cause.message, cause })
  }
}

async function showDifferences(invocation: Invocation): Promise<void> {
  const [a, b] = invocation.positionals
  if (a === undefined || b === undefined)
    throw new CloisterError('cli.usage', {
      why: '--diff compares two images, launch digests or event logs, with --tee two firmware files',
    })
  if (invocation.options['tee'] !== undefined)
    return await showFirmwareDifferences(invocation, a, b)
  const logs = [await isLogFile(invocation, a), await isLogFile(invocation, b)]
  if (logs.every(Boolean)) return await showLogDifferences(invocation, a, b)
  if (logs.some(Boolean))
    throw new CloisterError('cli.usage', { why: 'an event log is compared with another one' })
  const home = [a, b].find((name) => !isDigest(name)) ?? DEFAULT_IMAGE
  const differences = launchDifferences(
    await sideOf(invocation, a, home),
    await sideOf(invocation, b, home),
  )
  await listDifferences(invocation, differences)
}

/** Of two firmware files booted alike. */
async function showFirmwareDifferences(
  invocation: Invocation,
  a: string,
  b: string,
): Promise<void> {
  const boots = [await directBoot(invocation, a), await directBoot(invocation, b)] as const
  const differences = await fitting(firmwareDifferences(chosenTee(invocation), ...boots))
  await listDifferences(invocation, differences)
}

async function listDifferences(
  { output }: Invocation,
  differences: readonly LaunchDifference[],
): Promise<void> {
  if (differences.length === 0) output.talk('no input differs: the same launch')
  await output.list(differences, {
    name: (row) => row.what,
    columns: [
      { title: 'DIFFERS', cell: (row) => row.what },
      { title: 'A', cell: (row) => row.a },
      { title: 'B', cell: (row) => row.b },
    ],
  })
}

/** @param home - the image among whose variants a digest is looked for */
async function sideOf(invocation: Invocation, name: string, home: string): Promise<LaunchSide> {
  const image = await checkedImage(invocation, isDigest(name) ? home : name)
  if (!isDigest(name)) return { image: image.manifest, variant: chosenVariant(invocation) }
  const variant = await findVariant(image.directory, image.manifest, name.toLowerCase())
  if (variant === undefined)
    throw new CloisterError('cli.usage', {
      why: `${name.slice(0, 16)}… is no launch of image ${home}, whatever its command line, vCPU type, vCPU count up to 64 or SEV features: firmware, kernel or initrd are others`,
    })
  return { image: image.manifest, variant }
}

function isDigest(name: string): boolean {
  return /^[0-9a-fA-F]{96}$/.test(name)
}

function chosenVariant(invocation: Invocation): LaunchVariant {
  const mode = MODES.find((one) => one === (textOption(invocation, 'mode') ?? 'hardware'))
  const vcpuType = textOption(invocation, 'vcpu-type') ?? 'EPYC-v4'
  const vcpus = Number(textOption(invocation, 'cpus') ?? 1)
  if (
    mode === undefined ||
    !isVcpuType(vcpuType) ||
    !Number.isInteger(vcpus) ||
    vcpus < 1 ||
    vcpus > 4096
  )
    throw new CloisterError('cli.usage', {
      why: 'no launch digest is known for this mode, vCPU type and count',
    })
  return { mode, vcpuType, vcpus, features: PLAIN_FEATURES }
}
