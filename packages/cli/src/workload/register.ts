/** What the owner tells the broker before a run: guest image, simulated root, workload revision, and who may have which secret. */
import { createHash } from 'node:crypto'
import type {
  AnchorSet,
  ReleasePolicyInput,
  SecretList,
  WorkloadRevision,
} from '@cloister/protocol/broker-admin-api'
import { CloisterError } from '@cloister/protocol/error'
import type { GuestImageManifest } from '@cloister/protocol/guest-image-manifest'
import { encodeInitdata, initdataOf } from '@cloister/protocol/initdata'
import type { VmWorkloadInput } from '@cloister/protocol/vm-workload'
import type { WorkloadInput } from '@cloister/protocol/workload'
import { DEFAULT_TCB_PRESET, SIMULATED_MINIMUM_TCB } from '../owner/minimum-tcb.ts'
import type { BrokerClient } from '../owner/broker-client.ts'
import type { MeasuredTee } from './choose-tee.ts'

/**
 * Reference Values of the guest image under the anchors of this TEE. Registering the same again changes nothing. A debug guest has none: nothing
 * is ever released to it.
 */
export async function registerGuestImage(
  broker: BrokerClient,
  manifest: GuestImageManifest,
  { tee, debug }: { tee: MeasuredTee; debug: boolean },
): Promise<void> {
  if (debug) return
  const mode = tee === 'simulated' ? 'simulated' : 'hardware'
  await broker.putGuestImage(manifest.name, { manifest, mode, anchors: ANCHORS[tee] })
}

const ANCHORS = {
  snp: 'amd',
  tdx: 'intel',
  simulated: 'simulated',
} as const satisfies Record<MeasuredTee, AnchorSet>

export interface RegisteredWorkload {
  readonly initdata: Uint8Array
  readonly revision: number
  /** Whether this very workload was registered and current already. */
  readonly unchanged: boolean
}

/**
 * Registers the workload as a new revision, unless its current revision is the same but for the number.
 *
 * @param options.policy - of the agent, in Rego; absent: the built-in one alone
 * @param options.known - the broker's workloads as they are now; absent: it is asked
 */
export async function registerWorkload(
  broker: Pick<BrokerClient, 'workloads' | 'putWorkload'>,
  compose: (revision: number) => WorkloadInput | VmWorkloadInput,
  options: {
    readonly policy?: string | undefined
    readonly known?: readonly WorkloadRevision[]
  } = {},
): Promise<RegisteredWorkload> {
  const { policy, known = await broker.workloads() } = options
  const { name } = compose(1)
  const revisions = known.filter((revision) => revision.name === name)
  const encode = (revision: number) => encodeInitdata(initdataOf(compose(revision), policy))
  const current = revisions.find(({ state }) => state === 'current')
  if (current !== undefined) {
    const initdata = encode(current.revision)
    if (sha256(initdata) === current.initdataDigest)
      return { initdata, revision: current.revision, unchanged: true }
  }
  const revision = Math.max(0, ...revisions.map((entry) => entry.revision)) + 1
  const initdata = encode(revision)
  await broker.putWorkload(name, initdata)
  return { initdata, revision, unchanged: false }
}

/**
 * The policy that `run` gives a secret that has none: this workload, in this guest image or a newer one, on this kind of TEE.
 *
 * @param rtmr0 - of TDX: accepted values. None: the secret goes to nobody until the owner names one
 */
export function releasePolicyFor(
  name: string,
  manifest: GuestImageManifest,
  tee: MeasuredTee,
  rtmr0: readonly string[] = [],
): ReleasePolicyInput {
  return {
    version: 1,
    anchors: [ANCHORS[tee]],
    workloads: [{ name }],
    guestImages: [{ name: manifest.name, minimumVersion: manifest.imageVersion }],
    ...floorOf(tee, rtmr0),
  }
}

/** What each kind of TEE must at least be. */
function floorOf(
  tee: MeasuredTee,
  rtmr0: readonly string[],
): Pick<ReleasePolicyInput, 'minimumTcb' | 'minimumTcbPreset' | 'tdx'> {
  switch (tee) {
    case 'simulated':
      return { minimumTcb: SIMULATED_MINIMUM_TCB }
    case 'snp':
      return { minimumTcb: {}, minimumTcbPreset: DEFAULT_TCB_PRESET }
    case 'tdx':
      return { minimumTcb: {}, tdx: rtmr0.length === 0 ? {} : { rtmr0: [...rtmr0] } }
    default:
      return tee satisfies never
  }
}

export interface SecretPlan {
  /** Secrets that get a policy by this run. */
  readonly grants: readonly string[]
}

/**
 * Which of the needed secrets the run must give a policy.
 *
 * @param chosen - those of them that the owner named on the command line
 *
 * @throws CloisterError `owner.secret-unknown`, `owner.secret-not-granted` when a policy names other workloads only
 */
export function planSecrets(
  needed: readonly string[],
  secrets: SecretList['secrets'],
  name: string,
  chosen: readonly string[],
): SecretPlan {
  const grants: string[] = []
  for (const path of needed) {
    const secret = secrets.find((entry) => entry.path === path)
    if (secret === undefined)
      throw new CloisterError('owner.secret-unknown', {
        where: path,
        fix: [`cloister secret put ${path} --from-file FILE`],
      })
    const { release } = secret
    if (release === null) grants.push(grantable(path, chosen, name))
    else if (release.kind === 'tpm' || !release.workloads.some((entry) => entry.name === name))
      throw new CloisterError('owner.secret-not-granted', {
        where: path,
        expected: `a release policy that names workload ${name}`,
        received:
          release.kind === 'tpm'
            ? 'one for VMs by their TPM'
            : `one for ${release.workloads.map((entry) => entry.name).join(', ')}`,
      })
  }
  return { grants }
}

/**
 * A path that may get a policy by a run: one that its owner named, or the key of an image by its place. The annotations of an image name keys
 * too, and whoever made the image must not choose which secret is widened.
 */
function grantable(path: string, chosen: readonly string[], name: string): string {
  if (chosen.includes(path) || path.startsWith(IMAGE_KEYS)) return path
  throw new CloisterError('owner.secret-not-granted', {
    where: path,
    why: 'the image names it as its key, it has no release policy, and it is no image key by its name',
    expected: `a path below ${IMAGE_KEYS}, or a release policy that names workload ${name}`,
    received: path,
  })
}

/** Where `image encrypt` stores keys unless told otherwise. */
const IMAGE_KEYS = 'image-key/'

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
