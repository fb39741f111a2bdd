/** `run`, step by step, for the command itself and for the demo. */
import { containerCommand } from '@cloister/agent/container/container-command'
import type { HostdClient } from '@cloister/hostd/client'
import type { GuestImage } from '@cloister/image/images'
import { smallBlob } from '@cloister/oci/image-source'
import { checkPlatform, hostPlatform, parseImageConfig } from '@cloister/oci/manifest'
import { resolveImage, type ResolvedImage } from '@cloister/oci/resolve-image'
import { CloisterError } from '@cloister/protocol/error'
import type { Directories } from '@cloister/protocol/directories'
import type { WorkloadDetail } from '@cloister/protocol/hostd-api'
import type { BrokerClient } from '../owner/broker-client.ts'
import { brokerAddress } from '../owner/pinned-broker.ts'
import { pinLocalSimulatedRoot } from '../owner/simulated-roots.ts'
import { readRegistryCa } from '../image/registry-ca.ts'
import { readInput } from '../read-input.ts'
import {
  chosenResources,
  commandParts,
  composeWorkload,
  defaultName,
  neededResources,
} from './compose-workload.ts'
import { openImage, type OpenedImage } from './open-image.ts'
import { planSecrets, registerGuestImage, registerWorkload, releasePolicyFor } from './register.ts'
import type { RunPlan } from './run-plan.ts'
import type { RunTee } from './choose-tee.ts'

/** Parts that a run works with; the caller has found or started them. */
export interface RunContext {
  readonly directories: Directories
  readonly broker: BrokerClient
  readonly hostd: HostdClient
  readonly guestImage: GuestImage
  readonly tee: RunTee
  readonly signal: AbortSignal
}

/** An image that is there and can run here. Disposing of it closes its connections. */
export interface FoundImage extends Disposable {
  readonly opened: OpenedImage
  readonly resolved: ResolvedImage
}

/** A run that is fully decided and has changed nothing yet. */
export interface PreparedRun extends Omit<FoundImage, keyof Disposable> {
  readonly plan: RunPlan
  readonly name: string
  /** Secrets that this run gives a release policy. */
  readonly grants: readonly string[]
}

/**
 * Resolves the image to a digest. It needs no part of a run, so that a mistyped name is answered before any of them is built or started.
 *
 * @throws CloisterError `image.*`, `registry.*`, `agent.command-missing`
 */
export async function findImage(
  plan: RunPlan,
  { directories, signal }: Pick<RunContext, 'directories' | 'signal'>,
): Promise<FoundImage> {
  const registryCa = await readRegistryCa(plan.registryCa)
  const opened = await openImage(plan.image, { directories, registryCa })
  try {
    const { source, from } = opened
    const resolved = await resolveImage(source, from, undefined, signal)
    const config = parseImageConfig(await smallBlob(source, resolved.manifest.config, signal))
    checkPlatform(config, hostPlatform())
    containerCommand(commandParts(plan), config.config ?? {})
    return { opened, resolved, [Symbol.dispose]: () => opened[Symbol.dispose]() }
  } catch (error) {
    opened[Symbol.dispose]()
    throw error
  }
}

/** Looks whether the name is free and which secrets the image needs. @throws CloisterError `owner.*`, `workload.name-taken` */
export async function prepareRun(
  plan: RunPlan,
  { opened, resolved }: FoundImage,
  { broker, hostd, signal }: RunContext,
): Promise<PreparedRun> {
  const name = plan.name ?? defaultName(opened.reference.repository)
  // Before anything is registered: a new revision would supersede that of the workload which runs.
  const [views, vms] = await Promise.all([hostd.list({ signal }), hostd.vms.list({ signal })])
  const isTaken =
    views.some((view) => view.name === name) ||
    vms.some((view) => view.name === name && view.boot === 'measured')
  if (isTaken) throw new CloisterError('workload.name-taken', { where: name })
  const needed = neededResources(plan, resolved)
  const { grants } =
    needed.length === 0
      ? { grants: [] }
      : planSecrets(needed, await broker.secrets(), name, chosenResources(plan))
  return { plan, name, opened, resolved, grants }
}

export interface StartedRun {
  readonly detail: WorkloadDetail
  readonly initdata: Uint8Array
  readonly revision: number
}

/** Registers everything at the broker, then hands the exact initdata to hostd. */
export async function startRun(prepared: PreparedRun, context: RunContext): Promise<StartedRun> {
  const { plan, name, opened, resolved, grants } = prepared
  const { broker, hostd, guestImage, tee, signal } = context
  const policy = plan.policy === undefined ? undefined : await readAgentPolicy(plan.policy)
  const [known] = await Promise.all([broker.workloads(), registerImage(prepared, context)])
  const compose = (revision: number) =>
    composeWorkload({ plan, name, revision, opened, resolved, broker: broker.pinned })
  // After the others: the revision that runs is not superseded by one that gets no guest.
  const { initdata, revision } = await registerWorkload(broker, compose, { policy, known })
  for (const path of grants)
    await broker.putReleasePolicy(path, releasePolicyFor(name, guestImage.manifest, tee))
  const detail = await hostd.start(
    {
      name,
      initdata: Buffer.from(initdata).toString('base64'),
      guestImage: guestImage.manifest.name,
      cpus: plan.cpus,
      memoryMiB: plan.memoryMiB,
      scratchMiB: plan.scratchMiB,
      tee,
      debug: plan.debug,
      ports: [...plan.ports],
      targets: { broker: { tcp: brokerAddress(broker.pinned) }, registry: opened.target },
    },
    { signal },
  )
  return { detail, initdata, revision }
}

/** A broker that trusts no simulated processor, for it has real secrets, refuses the pin: nothing simulated is left there then. */
async function registerImage(
  { plan }: PreparedRun,
  { broker, guestImage, tee, directories }: RunContext,
): Promise<void> {
  if (tee === 'simulated') await broker.pinSimulatedRoot(await pinLocalSimulatedRoot(directories))
  await registerGuestImage(broker, guestImage.manifest, { tee, debug: plan.debug })
}

/** @throws CloisterError `initdata.policy-malformed`, here rather than in the guest */
async function readAgentPolicy(file: string): Promise<string> {
  const source = (await readInput(file, 1 << 20)).toString('utf8')
  const { regoPolicy } = await import('@cloister/agent/policy/rego-policy')
  regoPolicy(source)
  return source
}
