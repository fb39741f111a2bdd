/** What `run` was asked for, read from the command line; nothing is looked up here. */
import { listOption, textOption, type CommandLine, type OptionSpec } from '../command.ts'
import { REGISTRY_CA_OPTION } from '../image/registry-ca.ts'
import { instances, INSTANCES_OPTION } from './instances-option.ts'
import { MEASURED_VCPU_COUNTS } from '@cloister/protocol/guest-image-manifest'
import { HOSTD_LIMITS, WorkloadNameSchema } from '@cloister/protocol/hostd-api'
import { DEFAULT_SCRATCH_MIB } from '@cloister/protocol/scratch-space'
import { badOption, mebibytes, publishedPort } from '../option-values.ts'
import { resourcePath } from '../owner/resource-path.ts'

const TEE_CHOICES = ['auto', 'snp', 'simulated'] as const
export type TeeChoice = (typeof TEE_CHOICES)[number]

export interface SecretUse {
  readonly resource: string
  /** Absolute path in the container. */
  readonly file: string
}

export interface RunPlan {
  readonly image: string
  /** Absent: made from the image's name. */
  readonly name: string | undefined
  readonly tee: TeeChoice
  readonly ports: readonly { address: string; host: number; guest: number }[]
  readonly env: readonly string[]
  readonly secrets: readonly SecretUse[]
  readonly resources: readonly string[]
  readonly cpus: number
  readonly memoryMiB: number
  readonly scratchMiB: number
  readonly args: readonly string[]
  readonly entrypoint: string | undefined
  readonly logs: boolean
  readonly debug: boolean
  /** Public key, PEM file, that must have signed the image. */
  readonly signedBy: string | undefined
  readonly registryCa: string | undefined
  readonly registryCredentials: string | undefined
  readonly policy: string | undefined
  /** Absent: any number. */
  readonly instances: number | undefined
}

export const RUN_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  publish: {
    type: 'string',
    short: 'p',
    multiple: true,
    value: '[ADDRESS:]HOST:GUEST',
    help: 'forward a port of the host, in clear',
  },
  env: {
    type: 'string',
    short: 'e',
    multiple: true,
    value: 'NAME=VALUE',
    help: 'environment variable; the host can read it',
  },
  secret: {
    type: 'string',
    multiple: true,
    value: 'NAME[:PATH]',
    help: 'secret of the broker as a file; default /run/secrets/NAME',
  },
  resource: {
    type: 'string',
    multiple: true,
    value: 'NAME',
    help: 'secret that the workload may fetch at 127.0.0.1:8006/cdh/resource/',
  },
  cpus: { type: 'string', value: 'N', help: 'vCPUs: 1, 2, 4 or 8; default 1' },
  memory: {
    type: 'string',
    short: 'm',
    value: 'SIZE',
    help: 'memory, such as 512M or 2G; default 1G',
  },
  disk: {
    type: 'string',
    value: 'SIZE',
    help: `scratch disk for image and writes; default ${DEFAULT_SCRATCH_MIB / 1024}G, sparse`,
  },
  name: { type: 'string', value: 'NAME', help: 'name of the workload; default from the image' },
  tee: {
    type: 'string',
    value: TEE_CHOICES.join('|'),
    help: 'default auto: a real TEE, or a refusal',
  },
  entrypoint: { type: 'string', value: 'PROGRAM', help: "replaces the image's entry point" },
  'signed-by': {
    type: 'string',
    value: 'FILE',
    help: 'public key (PEM) that must have signed the image',
  },
  ...REGISTRY_CA_OPTION,
  'registry-credentials': {
    type: 'string',
    value: 'SECRET',
    help: 'secret of the broker with a Docker config for that registry',
  },
  policy: {
    type: 'string',
    value: 'FILE',
    help: 'agent policy in Rego, which narrows the built-in one',
  },
  ...INSTANCES_OPTION,
  logs: { type: 'boolean', help: 'let the host read standard output and error' },
  debug: { type: 'boolean', help: 'boot with a console; trust is then debug' },
  detach: { type: 'boolean', short: 'd', help: 'return when the workload runs' },
  yes: { type: 'boolean', short: 'y', help: 'ask nothing' },
}

/** @throws CloisterError `cli.usage` */
export function readRunPlan(line: CommandLine): RunPlan {
  const [image = ''] = line.positionals
  return {
    image,
    name: mapped(textOption(line, 'name'), workloadName),
    tee: teeChoice(textOption(line, 'tee')),
    ports: listOption(line, 'publish').map(publishedPort),
    env: listOption(line, 'env').map(environmentEntry),
    secrets: listOption(line, 'secret').map(secretUse),
    resources: listOption(line, 'resource').map(resourcePath),
    cpus: vcpus(textOption(line, 'cpus') ?? '1'),
    memoryMiB: mebibytes('memory', textOption(line, 'memory') ?? '1G', HOSTD_LIMITS.memoryMiB),
    scratchMiB: mebibytes(
      'disk',
      textOption(line, 'disk') ?? `${DEFAULT_SCRATCH_MIB}M`,
      HOSTD_LIMITS.scratchMiB,
    ),
    args: line.rest,
    entrypoint: textOption(line, 'entrypoint'),
    logs: line.options['logs'] === true,
    debug: line.options['debug'] === true,
    signedBy: textOption(line, 'signed-by'),
    registryCa: textOption(line, 'registry-ca'),
    registryCredentials: mapped(textOption(line, 'registry-credentials'), resourcePath),
    policy: textOption(line, 'policy'),
    instances: instances(line),
  }
}

function mapped<Value>(text: string | undefined, read: (text: string) => Value): Value | undefined {
  return text === undefined ? undefined : read(text)
}

function teeChoice(text = 'auto'): TeeChoice {
  const found = TEE_CHOICES.find((choice) => choice === text)
  if (found === undefined) throw badOption('--tee is unknown', TEE_CHOICES.join(', '), text)
  return found
}

/** Only for these is the launch digest known, so a guest with another number would get no secret. */
function vcpus(text: string): number {
  const found = MEASURED_VCPU_COUNTS.find((known) => String(known) === text)
  if (found === undefined)
    throw badOption('--cpus is no number that is measured', MEASURED_VCPU_COUNTS.join(', '), text)
  return found
}

function workloadName(text: string): string {
  if (WorkloadNameSchema.safeParse(text).success) return text
  throw badOption('--name is no name of a workload', 'a-z, 0-9 and -, at most 63 of them', text)
}

function environmentEntry(text: string): string {
  if (/^[A-Za-z_][A-Za-z0-9_]*=/.test(text)) return text
  throw badOption('--env is malformed', 'NAME=VALUE', text.split('=')[0] ?? '')
}

function secretUse(text: string): SecretUse {
  const at = text.indexOf(':/')
  const resource = resourcePath(at === -1 ? text : text.slice(0, at))
  const file = at === -1 ? `/run/secrets/${resource.split('/').at(-1) ?? ''}` : text.slice(at + 1)
  return { resource, file }
}
