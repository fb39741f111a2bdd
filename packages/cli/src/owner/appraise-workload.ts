/** Asks a running workload for evidence over a fresh nonce and computes its trust. */
import { randomBytes } from 'node:crypto'
import type { HostdClient } from '@cloister/hostd/client'
import { listGuestImages } from '@cloister/image/images'
import type { GuestImageList } from '@cloister/protocol/broker-admin-api'
import type { Directories } from '@cloister/protocol/directories'
import type { GuestImageManifest } from '@cloister/protocol/guest-image-manifest'
import type { EvidenceAnswer } from '@cloister/protocol/hostd-api'
import { amdLists, type AmdLists } from '../endorsements/amd-lists.ts'
import { intelCollateral } from '../endorsements/intel-collateral.ts'
import { acceptedMachines } from '../vm/accept-machine.ts'
import type { BrokerClient } from './broker-client.ts'
import { imagesOfWorkload } from './registered-image.ts'
import { readSimulatedRoots } from './simulated-roots.ts'
import type { IntelCollateral } from './td-evidence.ts'
import { computeTrust, type OwnerReferences, type TrustVerdict } from './trust-state.ts'

export interface WorkloadAppraisal {
  readonly nonce: string
  readonly answer: EvidenceAnswer
  readonly verdict: TrustVerdict
}

const NONCE_BYTES = 32

export async function appraiseWorkload(
  name: string,
  hostd: HostdClient,
  references: OwnerReferences,
  options: { nonce?: Uint8Array; signal?: AbortSignal } = {},
): Promise<WorkloadAppraisal> {
  const nonce = options.nonce ?? randomBytes(NONCE_BYTES)
  const answer = await hostd.evidence(name, nonce, { signal: options.signal })
  const verdict = await computeTrust(answer, nonce, references, new Date())
  return { nonce: Buffer.from(nonce).toString('hex'), answer, verdict }
}

/**
 * What this owner holds evidence of the workloads against; asks the broker once. What was withdrawn there counts no more here.
 *
 * @param revocationLists - absent: what was fetched before and is in date; likewise the next
 */
export async function ownerReferences(
  directories: Directories,
  broker: BrokerClient,
  revocationLists: AmdLists = amdLists(directories, { online: false }),
  collateral: IntelCollateral = intelCollateral(directories, { online: false }),
): Promise<(name: string) => OwnerReferences> {
  const [images, registered, revisions] = await Promise.all([
    listGuestImages(directories.images),
    broker.guestImages(),
    broker.workloads(),
  ])
  const simulatedRoots = readSimulatedRoots(directories)
  const manifests = inForce(
    images.map(({ manifest }) => manifest),
    registered,
  )
  const revisionsOf = (name: string) => revisions.filter((revision) => revision.name === name)
  return (name) => ({
    manifests,
    registeredImages: imagesOfWorkload(registered, revisionsOf(name)),
    simulatedRoots,
    revocationLists,
    firmwareDigests: async () => {
      const { firmwareDigests } = await import('./firmware-digests.ts')
      return await firmwareDigests(images)
    },
    revisions: revisionsOf(name),
    acceptedMachines: () => acceptedMachines(name, broker),
    intelCollateral: collateral,
  })
}

/** The manifests without those whose version the owner has withdrawn; withdrawing is for every mode at once. */
export function inForce(
  manifests: readonly GuestImageManifest[],
  registered: GuestImageList['guestImages'],
): GuestImageManifest[] {
  const withdrawn = registered.filter(({ state }) => state === 'withdrawn')
  return manifests.filter(
    ({ name, imageVersion }) =>
      !withdrawn.some((image) => image.name === name && image.imageVersion === imageVersion),
  )
}
