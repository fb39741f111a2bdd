/** Writes the workload that goes into the initdata: from the plan, the resolved image and the pinned broker. Pure. */
import { readFileSync } from 'node:fs'
import { wrappedKeys } from '@cloister/oci/ocicrypt'
import { formatReference } from '@cloister/oci/reference'
import type { ResolvedImage } from '@cloister/oci/resolve-image'
import { CloisterError } from '@cloister/protocol/error'
import type { WorkloadInput } from '@cloister/protocol/workload'
import type { PinnedBroker } from '../owner/pinned-broker.ts'
import type { OpenedImage } from './open-image.ts'
import type { RunPlan } from './run-plan.ts'

export interface ComposeInput {
  readonly plan: RunPlan
  readonly name: string
  readonly revision: number
  readonly opened: OpenedImage
  readonly resolved: ResolvedImage
  readonly broker: PinnedBroker
}

export function composeWorkload({
  plan,
  name,
  revision,
  opened,
  resolved,
  broker,
}: ComposeInput): WorkloadInput {
  const { reference, plainHttp } = opened
  return {
    version: 1,
    name,
    revision,
    ...(plan.instances !== undefined && { instances: plan.instances }),
    broker: { url: broker.url, spki: broker.spki },
    image: {
      reference: formatReference({ ...reference, digest: resolved.digest }),
      digest: resolved.digest,
      keys: [...imageKeyResources(resolved)],
      registry: {
        target: 'registry',
        ...(plainHttp && { plainHttp }),
        ...(plan.registryCa !== undefined && { ca: [readText(plan.registryCa)] }),
        ...(plan.registryCredentials !== undefined && { credentials: plan.registryCredentials }),
      },
      ...(plan.signedBy !== undefined && {
        signaturePolicy: signedByPolicy(readText(plan.signedBy)),
      }),
    },
    container: {
      id: name,
      ...commandParts(plan),
      env: [...plan.env],
      secrets: plan.secrets.map(({ resource, file }) => ({ resource, file })),
      resources: [...plan.resources],
    },
    hostPolicy: { readStdout: plan.logs, readStderr: plan.logs },
    network: {
      targets: ['broker', 'registry'],
      ports: [...new Set(plan.ports.map(({ guest }) => guest))],
    },
  }
}

/** What of the workload's container replaces the image's command. */
export function commandParts({ entrypoint, args }: Pick<RunPlan, 'entrypoint' | 'args'>) {
  return {
    ...(entrypoint !== undefined && { entrypoint: [entrypoint] }),
    ...(args.length > 0 && { args: [...args] }),
  }
}

/** containers-policy.json(5) that takes images of any name signed by this one key, and nothing else. */
function signedByPolicy(publicKeyPem: string): Record<string, unknown> {
  return {
    default: [
      {
        type: 'sigstoreSigned',
        keyData: Buffer.from(publicKeyPem).toString('base64'),
        signedIdentity: { type: 'matchRepository' },
      },
    ],
  }
}

/** Broker resources that hold the keys of the image's encrypted layers. */
function imageKeyResources({ manifest }: ResolvedImage): readonly string[] {
  const resources = manifest.layers.flatMap((layer) =>
    wrappedKeys(layer).flatMap((wrapped) =>
      wrapped.scheme === 'provider' && wrapped.packet.kid.startsWith('kbs:///')
        ? [wrapped.packet.kid.slice('kbs:///'.length)]
        : [],
    ),
  )
  return [...new Set(resources)]
}

/** Resources that the owner named on the command line. */
export function chosenResources(plan: RunPlan): readonly string[] {
  return [
    ...plan.secrets.map(({ resource }) => resource),
    ...plan.resources,
    ...(plan.registryCredentials === undefined ? [] : [plan.registryCredentials]),
  ]
}

/** Every resource that the workload will ask the broker for. */
export function neededResources(plan: RunPlan, resolved: ResolvedImage): readonly string[] {
  return [...new Set([...imageKeyResources(resolved), ...chosenResources(plan)])]
}

/** A name for a run that was given none: the last part of the image's repository. */
export function defaultName(repository: string): string {
  const name = (repository.split('/').at(-1) ?? '')
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]+/g, '-')
    .replaceAll(/^-+|-+$/g, '')
  return name === '' ? 'workload' : name.slice(0, 40)
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new CloisterError('cli.file-unreadable', { where: file, cause })
  }
}
